"""Layers and readouts as data: a network of another class that describes itself works in the tools that need it."""

from __future__ import annotations

import copy
from collections import Counter
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from tests.checks.test_checks import CHECKOUT
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.kf_rtrl import KFRTRL
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.algorithms.presynaptic_trace import SLTT
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.checks.tiny import BATCH, CLASSES, INPUTS, SIZE, error, learn, recurrent, seeded, sequence
from throughtime.checks.window import by_layers, differences, stepped
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Classification
from throughtime.measuring import floor
from throughtime.measuring.alignment import alignment, parameter_groups
from throughtime.networks.base import Network, Step, Window
from throughtime.networks.layer import INPUT, Layer, RecurrentState, Synapse
from throughtime.networks.products import Product, maps_of
from throughtime.networks.readout import Readout
from throughtime.networks.recurrent import Recurrent
from throughtime.networks.trajectory import trajectory
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.neurons.lif import LIF
from throughtime.neurons.ltc import LTC
from throughtime.numerics.trees import tensors
from throughtime.registry import ALGORITHMS, load_plugin
from throughtime.spec import Training

TASK = Classification(CLASSES)


class Plain(Network):
    """One layer written by a user: W x + R z into LIF neurons, a leaky readout; it shares no code with `recurrent`."""

    def __init__(self, inputs: int = INPUTS, outputs: int = CLASSES, size: int = SIZE) -> None:
        super().__init__()
        self.W, self.R, self.cells = nn.Linear(inputs, size), nn.Linear(size, size, bias=False), LIF(size)
        self.out = Readout(size, outputs, "z", partial(LeakyIntegrator, decay=0.9), layer="cells", name="out")
        self.layers = [Layer("cells", self.cells, {"feed": Synapse(self.W, INPUT), "back": Synapse(self.R, "cells")})]
        self.readouts = [self.out]

    def initial_state(self, batch: int) -> RecurrentState:
        like = self.W.weight
        zeros = like.new_zeros(batch, self.out.linear.out_features)
        return RecurrentState((self.cells.initial_state(batch, like),), zeros, 0)

    def forward(self, x: Tensor, state: RecurrentState) -> tuple[Step, RecurrentState]:
        z, cells = self.cells(self.W(x) + self.R(state.layers[0].z), state.layers[0])
        y = self.out(self.out.linear(z), state.y)
        return Step(y, (z,)), RecurrentState((cells,), y, state.t + 1)

    def unroll(self, x: Tensor, state: RecurrentState) -> Window:
        steps = []
        for x_t in x:
            step, state = self(x_t, state)
            steps.append(step)
        outputs, spikes = torch.stack([s.output for s in steps]), torch.stack([s.spikes[0] for s in steps])
        return Window(outputs, (spikes,), state)


class Undescribed(Plain):
    """The same network, which says nothing about itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.readouts = (), ()


def twins() -> tuple[Plain, Recurrent]:
    """The user's network and `recurrent` with the same weights."""
    with seeded(3):
        plain, ours = Plain().double(), Recurrent(INPUTS, CLASSES, LIF, hidden=[SIZE]).double()
    ours.readout.neuron.decay = 0.9
    with torch.no_grad():
        for to, source in zip(ours.parameters(), plain.parameters(), strict=True):
            to.copy_(source)
    return plain, ours


@pytest.mark.parametrize("rule", [EProp, DiagonalRTRL])
def test_eligibility_rules_train_it_as_they_train_recurrent(rule):
    plain, ours = twins()
    assert rule().supports(plain, TASK, 12) is None
    for layered_part, other in zip(
        learn(rule(), plain, sequence()).total(), learn(rule(), ours, sequence()).total(), strict=True
    ):
        torch.testing.assert_close(layered_part, other, rtol=1e-10, atol=1e-14)
        assert float(layered_part.abs().max()) > 0


def test_eligibility_rules_refuse_what_they_could_not_follow():
    said = EProp().supports(Undescribed(), TASK, 12)
    assert said is not None and "does not describe its layers" in said
    for synapses, reason in (
        ({"feed": Synapse(nn.Flatten(), INPUT)}, "linear maps into a vector"),
        ({"feed": Synapse(nn.Linear(3, 5), INPUT), "feedback": Synapse(nn.Linear(5, 5), "above")}, "above of the step"),
        ({"back": Synapse(nn.Linear(5, 5), "cells")}, "neither the input nor an earlier layer"),
    ):
        other = Plain()
        other.layers = [Layer("cells", other.cells, synapses)]
        assert reason in EProp().supports(other, TASK, 12)
    heads = Recurrent(INPUTS, {"a": 2, "b": 3}, LIF, hidden=[SIZE])
    assert "one readout, of the last layer" in EProp().supports(heads, TASK, 12)


@pytest.mark.parametrize("rule", [BPTT(), TruncatedBPTT(window=4), FPTT(), EProp()])
def test_its_floor_is_that_of_recurrent(rule):
    plain, ours = twins()
    result, expected = (floor.operations(rule, net, Training(), BATCH, 12) for net in (plain, ours))
    assert result == expected and result.flops > 0
    known = floor.operations(BPTT(), Undescribed(), Training(), BATCH, 12)
    assert known.flops < floor.operations(BPTT(), ours, Training(), BATCH, 12).flops, (
        "gradients by inputs are not known"
    )


def test_its_parts_have_its_own_names():
    plain, ours = twins()
    groups = parameter_groups(plain)
    assert list(groups) == ["all", "hidden", "cells.feed", "cells.back", "out"]
    assert groups["hidden"] == ["W.weight", "W.bias", "R.weight"] and groups["cells.back"] == ["R.weight"]
    result, expected = (alignment(EProp(), net, TASK, Batch(*sequence())) for net in (plain, ours))
    assert result["cells.feed"].cosine == pytest.approx(expected["layer1.inward"].cosine, abs=1e-10)
    assert result["out"].cosine == pytest.approx(1)


def test_a_copy_describes_the_copy():
    plain = copy.deepcopy(Plain())
    assert plain.layers[0].synapses["feed"].module is plain.W and plain.readouts[0] is plain.out
    assert [name for name, _ in plain.named_parameters()][:3] == ["W.weight", "W.bias", "R.weight"], "each once"


def test_layers_of_recurrent():
    net = Recurrent(2, 3, LTC, hidden=[4, 5], readout="membrane", norm_steps=6)
    assert [(layer.name, *(s.reads for s in layer.synapses.values())) for layer in net.layers] == [
        ("layer1", INPUT, "layer1"),
        ("layer2", "layer1", "layer2"),
    ]
    assert set(net.layers[1].gates) == {"membrane_gate", "adaptation_gate"}
    assert net.layers[1].synapses["inward"].norm is net.layers[1].inward_norm
    (readout,) = net.readouts
    assert (readout.layer, readout.reads, readout.linear.in_features) == ("layer2", "v", 5)


def test_products_of_a_loop_of_layers():
    """Two layers that read each other, b the spikes of a of the same step: neither can take its steps at once."""
    a_from_b, b_from_a, feed = nn.Linear(3, 2), nn.Linear(2, 3), nn.Linear(7, 2)

    class Loop(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [
                Layer("a", LIF(2), {"feed": Synapse(feed, INPUT), "back": Synapse(a_from_b, "b")}),
                Layer("b", LIF(3), {"down": Synapse(b_from_a, "a")}),
            ]
            self.readouts = []

    maps = {(m.reads, m.makes): (m.at_once, m.first, m.later) for m in maps_of(Loop())}
    assert maps == {(7, 2): (True, 0, 0), (3, 2): (False, 0, 3), (2, 3): (False, 2, 2)}


def test_an_input_of_any_shape_is_read_as_a_vector():
    with seeded(3):
        flat = Recurrent(6, 3, LIF, hidden=[4])
    with seeded(3):
        image = Recurrent((2, 3), (3,), LIF, hidden=[4])
    x = 3 * torch.randn(5, BATCH, 2, 3)
    expected = flat.unroll(x.flatten(2), flat.initial_state(BATCH)).outputs
    assert torch.equal(image.unroll(x, image.initial_state(BATCH)).outputs, expected)
    step, _ = image(x[0], image.initial_state(BATCH))
    torch.testing.assert_close(step.output, expected[0])


def test_two_heads():
    """A window is its steps, the layers and readouts define the step, and every head is trained."""
    with seeded(3):
        options = {"readout": "membrane", "readout_leak": "gated"}
        net = Recurrent(INPUTS, {"which": 3, "where": 2}, LIF, hidden=[SIZE, 4], **options).double()
    x = sequence()[0]
    state = net.initial_state(BATCH)
    window = net.unroll(x, state)
    assert {name: tuple(y.shape) for name, y in window.outputs.items()} == {
        "which": (12, BATCH, 3),
        "where": (12, BATCH, 2),
    }
    for t, x_t in enumerate(x):
        described = by_layers(net, x_t, state)
        step, state = net(x_t, state)
        for name, y in step.output.items():
            torch.testing.assert_close(window.outputs[name][t], y, rtol=1e-12, atol=1e-14)
        for result, expected in zip(tensors(described), tensors((step, state)), strict=True):
            torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(tensors(window.state), tensors(state), rtol=1e-12, atol=1e-14)
    sum(y.sum() for y in window.last().values()).backward()
    assert all(float(p.grad.abs().max()) > 0 for name, p in net.named_parameters() if name.startswith("readout"))
    assert list(parameter_groups(net))[-2:] == ["which", "where"]
    assert net.stepper(net.initial_state(BATCH), {}) is None


@pytest.mark.parametrize("name", ["recurrent", "layered"])
@pytest.mark.parametrize("hooked", ["inward", "recurrent", "readout"])
def test_hooks_of_maps_run_in_windows_as_in_steps(name, hooked):
    """Among them that of torch.nn.utils.weight_norm, which computes the weight."""
    options = {"hidden": [SIZE]} if name == "recurrent" else {"layers": [{"dense": SIZE, "recurrent": True}]}
    with seeded(3):
        net = tt.build_network(name, INPUTS, 2, **options).double()
    first, second = net.layers[0].synapses.values()
    map = {"inward": first.module, "recurrent": second.module, "readout": net.readouts[0].linear}[hooked]
    map.register_forward_pre_hook(lambda _module, inputs: (3 * inputs[0],))
    assert net.stepper(net.initial_state(BATCH), {}) is None
    x, state = sequence()[0], net.initial_state(BATCH)
    errors = dict(differences(net.unroll(x, state), stepped(net, x, state), list(net.parameters())))
    assert max(errors.values()) < 1e-9, errors


def test_the_credit_that_a_rule_from_elsewhere_states(isolated_registries):
    """Backward through windows of five steps and of one: five sequences, W 3 -> 4, R 4 -> 4, readout 4 -> 2."""
    load_plugin(CHECKOUT / "docs" / "examples" / "summed_tbptt.py")
    rule, net = ALGORITHMS["summed_tbptt"].factory(), Recurrent(3, 2, LIF, hidden=[4])
    assert rule.credit(net, 5, 6).products == {
        Product(4, 25, 3): 1,
        Product(4, 5, 3): 1,
        Product(4, 25, 4): 1,
        Product(4, 5, 4): 1,
        Product(5, 4, 4): 4,  # δI R at the steps of the first window but one
        Product(2, 5, 4): 2,
        Product(5, 2, 4): 2,
    }
    needed = floor.operations(rule, net, Training(clip=None), 5, 6)
    assert needed.products - rule.credit(net, 5, 6).products == Counter(
        {
            Product(25, 3, 4): 1,
            Product(5, 3, 4): 1,
            Product(5, 4, 4): 6,
            Product(25, 4, 2): 1,
            Product(5, 4, 2): 1,
        }
    )
    assert needed.streams[0].moved == 7 * 4 * 42, "one update of 42 parameters"
    assert needed.contains == "each window backward"


class Doubled(nn.Linear):
    """A map that is not its weights alone."""

    def forward(self, q: Tensor) -> Tensor:
        return 2 * super().forward(q)


def is_its_steps(net: Network, x: Tensor) -> bool:
    """Whether a window has the outputs and gradients of its steps."""
    state = net.initial_state(BATCH)
    result = differences(net.unroll(x, state), stepped(net, x, state), [*net.parameters()])
    return all(difference < 1e-12 for _, difference in result)


@pytest.mark.parametrize("map", ["layers.0.inward", "layers.0.recurrent", "readout.linear"])
def test_a_subclass_of_a_linear_map_computes_what_it_computes(map):
    net, (x, target) = recurrent(LIF), sequence()
    net.get_submodule(map).__class__ = Doubled
    assert is_its_steps(net, x)
    assert "linear" in EProp().supports(net, TASK, 12).lower() and KFRTRL().supports(net, TASK, 12)
    assert error(learn(RTRL(), net, (x, target)).total(), learn(BPTT(), net, (x, target)).total()) < 1e-12
    if map != "readout.linear":
        net.readout.neuron.decay = 0.0
        steps = learn(TruncatedBPTT(window=1), net, (x, target)).total()
        assert error([g / 12 for g in steps], learn(SLTT(), net, (x, target)).total()) < 1e-12


@pytest.mark.parametrize("recurrent_bias", [False, True])
def test_an_input_map_without_a_bias(recurrent_bias):
    net, (x, _) = recurrent(LIF, recurrent_bias=recurrent_bias), sequence()
    net.layers[0].inward.bias = None
    before = x.clone()
    assert is_its_steps(net, x)
    assert torch.equal(x, before)


def test_a_trajectory_leaves_an_input_that_is_its_current():
    R, cells, x = nn.Linear(SIZE, SIZE), LIF(SIZE), 3 * torch.randn(4, BATCH, SIZE)
    layer = Layer("cells", cells, {"feed": Synapse(nn.Identity(), INPUT), "back": Synapse(R, "cells")})
    before = x.clone()
    trajectory(layer, {INPUT: x}, cells.initial_state(BATCH, x))
    assert torch.equal(x, before)


def test_a_gate_of_the_readout_with_slope_0_has_a_gradient():
    net, (x, _) = recurrent(LIF, readout_leak="gated"), sequence()
    nn.init.zeros_(net.readout.neuron.slope)
    nn.init.ones_(net.readout.neuron.gate.bias)
    assert is_its_steps(net, x)
    net.unroll(x, net.initial_state(BATCH)).outputs.sum().backward()
    assert net.readout.neuron.slope.grad != 0
