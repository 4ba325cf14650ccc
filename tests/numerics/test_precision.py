"""Products in bfloat16: rounded by hand, beside float32, in every rule; and float32 is unchanged."""

from __future__ import annotations

from collections import Counter
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.harness.test_training import component, spec
from throughtime.harness.batches import evaluate, learn_batch, started
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.one_batch import one_batch
from throughtime.measuring import floor
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.precision import BFLOAT16, FLOAT32, BFloat16Linear, in_precision, products_of
from throughtime.registry import NETWORKS, NEURONS


def rounded_by_hand(x):
    """To the nearest number of 8 significant bits, ties to the even one; through integers, no bfloat16 in it."""
    bits = x.float().contiguous().view(torch.int32)
    return (bits + 0x7FFF + (bits >> 16 & 1)).bitwise_and(~0xFFFF).view(torch.float32)


def whole_numbers(*shape):
    """Return random integers of ten bits, two too many for bfloat16; sums of eight products are exact in float32."""
    return torch.randint(-1023, 1024, shape).float()


def test_products_are_those_of_rounded_operands():
    torch.manual_seed(0)
    a, b, c = whole_numbers(5, 8), whole_numbers(8, 3), torch.randn(5, 3)
    sums = rounded_by_hand(rounded_by_hand(a) @ rounded_by_hand(b))
    assert not torch.equal(sums, a @ b) and not torch.equal(sums, rounded_by_hand(a @ b))
    assert torch.equal(BFLOAT16.matmul(a, b), sums)
    assert torch.equal(BFLOAT16.addmm(c, a, b), c + sums)
    assert torch.equal(BFLOAT16.linear(a, b.t(), c[0]), sums + c[0])
    assert torch.equal(BFLOAT16.addmm(c, a, BFLOAT16.operand(b)), c + sums)
    out = c.clone()
    assert BFLOAT16.addmm(out, a, b, out=out) is out and torch.equal(out, c + sums)
    assert {BFLOAT16.matmul(a, b).dtype, BFLOAT16.linear(a, b.t(), None).dtype} == {torch.float32}
    ones = torch.randint(0, 2, (5, 8)).float()
    assert torch.equal(BFLOAT16.operand(ones).float(), ones), "spikes are exact"


def test_so_are_those_of_a_maps_backward_pass():
    torch.manual_seed(0)
    map, x, δ = nn.Linear(8, 3), whole_numbers(5, 8), whole_numbers(5, 3)
    map = in_precision(nn.Sequential(map), "bfloat16")[0]
    map(x.requires_grad_()).backward(δ)
    W, x_rounded, δ_rounded = (rounded_by_hand(tensor.detach()) for tensor in (map.weight, x, δ))
    torch.testing.assert_close(x.grad, rounded_by_hand(δ_rounded @ W), rtol=2**-8, atol=0)  # its sums are not exact
    assert torch.equal(map.weight.grad, rounded_by_hand(δ_rounded.t() @ x_rounded))
    torch.testing.assert_close(map.bias.grad, δ.sum(0))
    assert {map.weight.dtype, map.weight.grad.dtype, x.grad.dtype} == {torch.float32}


def test_float32_is_what_it_was():
    assert (FLOAT32.matmul, FLOAT32.addmm) == (torch.matmul, torch.addmm)
    x = torch.randn(3)
    assert FLOAT32.operand(x) is x
    network = build(spec()).network
    assert {type(module) for module in network.modules() if isinstance(module, nn.Linear)} == {nn.Linear}
    assert products_of(network.layers[0].inward) is FLOAT32


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_map_of_one_input_is_a_product_where_products_are_counted(inputs):
    x, map = torch.randn(4, 5, inputs), nn.Linear(inputs, 3)
    given = (x, map.weight, map.bias)
    with LiveBytes() as live:
        counted = FLOAT32.linear(*given)
    assert torch.equal(counted, F.linear(*given)) and live.operations > 0
    torch.testing.assert_close(FLOAT32.linear(*given), F.linear(*given))
    with mock.patch("torch.addcmul", wraps=torch.addcmul) as elementwise:
        FLOAT32.linear(*given)
    assert elementwise.called == (inputs == 1)


def test_a_network_without_a_map_to_tell_is_refused():
    class Own(nn.Linear):
        pass

    for network in (nn.Sequential(nn.ReLU()), nn.Sequential(Own(2, 3))):
        assert in_precision(network, "float32") is network
        with pytest.raises(ValueError, match=r"precision bfloat16: the network has no nn\.Linear"):
            in_precision(network, "bfloat16")


NETS = {
    "plain": {"hidden": [16], "readout": "membrane", "readout_tau": 0.0},
    "deep": {"hidden": [16, 12]},
    "normalised": {"hidden": [16], "norm_steps": 40, "recurrent_bias": True, "readout_leak": "gated"},
}


def twins(neuron, options):
    """The same network twice, the second with its products in bfloat16."""
    nets = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(1)
        nets.append(in_precision(Recurrent(3, 2, NEURONS[neuron].factory, **options), precision))
    for norm in (module for net in nets for module in net.modules() if hasattr(module, "running_mean")):
        norm.weight.data.fill_(1.0)
    return nets


def gradient(net, x, step_by_step=False):
    state = net.initial_state(x.shape[1])
    if step_by_step:
        outputs = []
        for x_t in x:
            step, state = net(x_t, state)
            outputs.append(step.output)
        outputs = torch.stack(outputs)
    else:
        outputs = net.unroll(x, state).outputs
    gradients = torch.autograd.grad(outputs.square().sum(), list(net.parameters()))
    assert {outputs.dtype, *(g.dtype for g in gradients)} == {torch.float32}
    return torch.cat([g.flatten() for g in gradients])


def relative(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("options", NETS)
@pytest.mark.parametrize("neuron", ["lif", "ltc", "lstm"])  # a product a step; gates; a product of all gates
def test_gradients_are_off_by_some_and_not_by_much(neuron, options):
    """And a window's are those of its steps, closer than float32's: its kernel takes the same products."""
    full, mixed = twins(neuron, NETS[options])
    x = torch.randn(12, 8, 3) * 4
    by_steps = gradient(mixed, x, step_by_step=True)
    error, window_error = relative(gradient(mixed, x), gradient(full, x)), relative(gradient(mixed, x), by_steps)
    assert 1e-4 < error < 0.3
    assert window_error < error / 2 + 0.01


@pytest.mark.parametrize("neuron", ["lif", "ltc", "lstm"])
def test_weights_are_rounded_once_a_window(neuron):
    class Rounded(TorchDispatchMode):
        """Counts shapes that are made bfloat16."""

        seen: Counter

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten._to_copy.default and (kwargs or {}).get("dtype") is torch.bfloat16:
                self.seen[args[0].shape] += 1
            return func(*args, **(kwargs or {}))

    _, net = twins(neuron, {"hidden": [16]})
    R = net.layers[0].recurrent.weight
    result = []
    for steps in (5, 40):
        x = torch.randn(steps, 7, 3)
        with Rounded() as mode:
            mode.seen = Counter()
            net.unroll(x, net.initial_state(7)).outputs.sum().backward()
        result.append(mode.seen[R.shape])
    assert 0 < result[0] == result[1]


@pytest.mark.parametrize("neuron", ["lif", "ltc"])
@pytest.mark.parametrize("rule", ["bptt", "tbptt", "fptt", "eprop", "diagonal_rtrl", "rtrl"])
def test_every_rule_learns_so(rule, neuron):
    def first_updates(precision):
        run = spec(rule, batch=8, precision=precision).model_copy(
            update={
                "neuron": component(NEURONS, neuron),
                "network": component(NETWORKS, "recurrent", hidden=[4], readout="membrane", readout_tau=0),
            }
        )
        built = build(run)
        update = started(run, built, built.dataset.steps, Clock())
        loss = learn_batch(built.rule, one_batch(run, built), update)
        assert {p.dtype for p in built.network.parameters()} == {torch.float32}
        assert {t.dtype for state in update.optimiser.state.values() for t in state.values()} == {torch.float32}
        return float(loss), evaluate(built.network, built.dataset, "test").metrics["accuracy"], built

    (full, _, _), (mixed, metric, built) = first_updates("float32"), first_updates("bfloat16")
    assert isinstance(built.network.layers[0].inward, BFloat16Linear)
    assert mixed != full and mixed == pytest.approx(full, rel=0.05)
    assert 0 <= metric <= 1


def test_the_floor_of_float32_is_not_that_of_bfloat16():
    run = spec(precision="bfloat16")
    built = build(run)
    result = floor.floor_measures(built.rule, built.network, run.training, 100, 8, 1.0)
    assert {m.missing for m in result.values()} == {
        "the yardstick measures products of float32, but the run used bfloat16"
    }
