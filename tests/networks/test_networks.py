"""Networks: steps by hand, the fast window against the plain steps, torch's own, and the draw of the weights."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.layer import INPUT
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.numerics.trees import detached, tensors
from throughtime.registry import NEURONS

F64 = torch.float64


@pytest.mark.parametrize("readout", [{"readout": "spikes"}, {"readout": "membrane", "readout_tau": 0.0}])
def test_a_state_holds_no_memory_of_its_window(readout):
    """The output of the last step is no view of the outputs of all steps."""
    net = network(hidden=[4], **readout)
    state = net.unroll(torch.ones(50, 5, 3, dtype=F64), net.initial_state(5)).state
    assert state.y.untyped_storage().nbytes() == state.y.nbytes


def network(neuron: str = "lif", **options) -> Recurrent:
    torch.manual_seed(1)
    return Recurrent(3, 2, NEURONS[neuron].factory, **options).double()


def test_one_step_by_hand():
    # One neuron, W = 3, c = 0, R = 2, θ = 1, α = 1/2; readout W = 2, c = 1, κ = 1/2.
    # t=1: I = 3 -> v = 3/2, z = 1, y = (2 + 1)/2 = 1.5.
    # t=2: I = 0 + R·1 = 2 -> v = 0.75 + 1 − 1 = 0.75, z = 0, y = 1.5/2 + 1/2 = 1.25
    half = 1 / math.log(2)
    net = Recurrent(1, 1, partial(LIF, tau=half, threshold=1.0), hidden=[1], readout_tau=half).double()
    with torch.no_grad():
        for parameter, value in (
            (net.layers[0].inward.weight, 3),
            (net.layers[0].inward.bias, 0),
            (net.layers[0].recurrent.weight, 2),
            (net.readout.linear.weight, 2),
            (net.readout.linear.bias, 1),
        ):
            parameter.fill_(value)
    x = torch.tensor([[[1.0]], [[0.0]]], dtype=F64)
    window = net.unroll(x, net.initial_state(1))
    assert window.spikes[0].flatten().tolist() == [1, 0]
    assert window.outputs.flatten().tolist() == pytest.approx([1.5, 1.25])


def test_layers_without_recurrent_weights():
    # α = e^{-1/20}: v = (1 − α) I_t + α v − z with θ = 0.1 and I = 3 x + 1
    net = Recurrent(1, 1, LIF, hidden=[1], recurrent_weights=False).double()
    (layer,) = net.layers
    assert [*layer.synapses] == ["inward"] and layer.recurrent_synapse is None
    layer.inward.weight.data.fill_(3)
    layer.inward.bias.data.fill_(1)
    α, state = math.exp(-1 / 20), net.initial_state(1)
    window = net.unroll(torch.tensor([[[1.0]], [[0.0]]], dtype=F64), state)
    assert window.spikes[0].flatten().tolist() == [1, 1], "v = 4 (1 − α) = 0.195; α v + (1 − α) − 0.1 = 0.134"
    assert float(window.state.layers[0].v.detach()) == pytest.approx(α * 4 * (1 - α) + 1 - α - 0.1)
    net.clear_held(lambda p: p)
    for options in ({"recurrent_bias": True}, {"density": 0.5}, {"self_connections": False}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} would do nothing without recurrent_weights: true"):
            Recurrent(1, 1, LIF, recurrent_weights=False, **options)


@pytest.mark.parametrize("weights", ["separate", "joint", "hidden", "normal", "orthogonal"])
def test_input_weights_are_drawn_without_recurrent_ones(weights):
    torch.manual_seed(0)
    W = Recurrent(100, 2, LIF, hidden=[400], weights=weights, recurrent_weights=False).layers[0].inward.weight
    sd = {"hidden": 400**-0.5 / 3**0.5, "normal": 0.1, "orthogonal": (2 / 500) ** 0.5}.get(weights, 0.1 / 3**0.5)
    assert float(W.detach().std()) == pytest.approx(sd, rel=0.03)


@pytest.mark.parametrize("norm_steps", [None, 2])
def test_recurrent_bias_and_norms_are_where_they_are_said_to_be(norm_steps):
    # W x + c = 3 x + 1, R z + bias of R = 2 z + 0.5.  Plain: I = 3 · 2 + 1 + 2 + 0.5 = 9.5 for x = 2, z = 1.
    # Normalised, of a batch with W x + c = 7 and 1, R z + bias = 2.5 and 0.5: 0.1 · (±1) + 0.1 · (±1) but for ε
    net = Recurrent(1, 1, LIF, hidden=[1], recurrent_bias=True, norm_steps=norm_steps).double()
    layer = net.layers[0]
    with torch.no_grad():
        for parameter, value in (
            (layer.inward.weight, 3),
            (layer.inward.bias, 1),
            (layer.recurrent.weight, 2),
            (layer.recurrent.bias, 0.5),
        ):
            parameter.fill_(value)
    x, z = (torch.tensor([[value], [0.0]], dtype=F64) for value in (2, 1))
    currents = layer.total_current({INPUT: x, layer.name: z}, 0, 0).flatten().tolist()
    assert currents == pytest.approx([0.2, -0.2] if norm_steps else [9.5, 1.5], abs=1e-5)


WINDOWED = [
    pytest.param(neuron, {"hidden": hidden, **readout}, id=f"{neuron} {len(hidden)} {label}")
    for neuron in ("lif", "alif", "asrnn", "ltc", "lstm", "rnn")
    for hidden in ([5], [5, 4])
    for label, readout in (
        ("spikes", {"readout": "spikes"}),
        ("membrane", {"readout": "membrane", "readout_tau": 0.0}),
        ("gated", {"readout_leak": "gated"}),
        ("norms", {"norm_steps": 30, "recurrent_bias": True, "readout_leak": "gated"}),
        ("norms, constant leak", {"norm_steps": 50, "weights": "orthogonal"}),
    )
]
"""A norm of 30 steps is shorter than the window of 40: the last ones share."""


@pytest.mark.parametrize(("neuron", "options"), WINDOWED)
def test_a_window_equals_its_steps_forward_and_gradient(neuron, options):
    net = network(neuron, **options)
    norms = [module for module in net.modules() if isinstance(module, StepBatchNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.fill_(3 if net.layers[0].neuron.spiking else 0.5)  # enough for spikes; not for chaos
    x = torch.randn(40, 4, 3, dtype=F64) * 8

    window = net.unroll(x, net.initial_state(4))
    fast = torch.autograd.grad(window.outputs.square().sum(), list(net.parameters()))
    statistics = [buffer.clone() for norm in norms for buffer in norm.buffers()]
    for norm in norms:
        norm.running_mean.zero_()
        norm.running_var.fill_(1)
    state, outputs, spikes = net.initial_state(4), [], []
    for x_t in x:
        step, state = net(x_t, state)
        outputs.append(step.output)
        spikes.append(step.spikes[-1])

    torch.testing.assert_close(window.outputs, torch.stack(outputs), rtol=0, atol=1e-12)
    torch.testing.assert_close(window.spikes[-1], torch.stack(spikes), rtol=0, atol=1e-12)
    for a, b in zip(tensors(window.state), tensors(state), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    for a, b in zip(statistics, (buffer for norm in norms for buffer in norm.buffers()), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    if net.layers[0].neuron.spiking:
        assert 0 < float(window.spikes[-1].detach().mean()) < 1, "a silent net would compare nothing"
    plain = torch.autograd.grad(torch.stack(outputs).square().sum(), list(net.parameters()))
    atol = 1e-12
    if norms:  # ahead of a norm the gradient of a bias is 0 but for the rounding of the others
        atol *= max(1, *(float(gradient.abs().max()) for gradient in plain))
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=atol)


@pytest.mark.parametrize(
    ("neuron", "options"),
    [
        ("alif", {}),
        ("lstm", {}),
        ("ltc", {"readout_leak": "gated"}),
        ("ltc", {"norm_steps": 6}),
        ("rnn", {"norm_steps": 6}),
    ],
)
def test_two_windows_equal_one(neuron, options):
    net = network(neuron, hidden=[6], **options)
    x = torch.randn(8, 5, 3, dtype=F64) * 2
    net.unroll(x, net.initial_state(5))  # norms now have statistics, of each step its own
    net.eval()
    whole = net.unroll(x, net.initial_state(5))
    first = net.unroll(x[:3], net.initial_state(5))
    second = net.unroll(x[3:], first.state)
    assert (first.state.t, second.state.t) == (3, 8)
    torch.testing.assert_close(torch.cat((first.outputs, second.outputs)), whole.outputs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("neuron", "reference"), [("lstm", nn.LSTM), ("rnn", nn.RNN)])
@pytest.mark.parametrize("hidden", [[5], [5, 5]])
def test_lstm_and_rnn_are_torchs(neuron, reference, hidden):
    net = network(neuron, hidden=hidden, weights="hidden", recurrent_bias=True)
    torchs = reference(3, 5, num_layers=len(hidden)).double()
    names = {"weight_ih": "inward.weight", "bias_ih": "inward.bias", "weight_hh": "recurrent.weight"}
    names["bias_hh"] = "recurrent.bias"
    pairs = [
        (torchs.get_parameter(f"{theirs}_l{l}"), net.get_parameter(f"layers.{l}.{ours}"))
        for l in range(len(hidden))
        for theirs, ours in names.items()
    ]
    with torch.no_grad():
        for theirs, ours in pairs:
            theirs.copy_(ours)
    assert len(pairs) == len(list(torchs.parameters()))

    x = torch.randn(20, 4, 3, dtype=F64)
    window = net.unroll(x, net.initial_state(4))
    h, last = torchs(x)
    h_last, c_last = last if neuron == "lstm" else (last, None)
    torch.testing.assert_close(window.spikes[-1], h, rtol=0, atol=1e-12)
    for l, state in enumerate(window.state.layers):
        torch.testing.assert_close(state.v, h_last[l], rtol=0, atol=1e-12)
        if c_last is not None:
            torch.testing.assert_close(state.c, c_last[l], rtol=0, atol=1e-12)
    theirs = torch.autograd.grad(h.square().sum(), [pair[0] for pair in pairs])
    ours = torch.autograd.grad(window.spikes[-1].square().sum(), [pair[1] for pair in pairs])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_detached_keeps_shape_and_values_and_cuts_the_graph():
    net = network("ltc", hidden=[4])
    state = net.unroll(torch.randn(2, 3, 3, dtype=F64), net.initial_state(3)).state
    cut = detached(state)
    assert type(cut) is type(state) and type(cut.layers[0]) is type(state.layers[0])
    assert torch.equal(cut.y, state.y) and state.y.requires_grad and not cut.y.requires_grad
    assert not cut.layers[0].v.requires_grad
    assert cut.t == state.t == 2


def test_step_batch_norm_by_hand():
    # Weight 2, bias 0.5, ε = 1e−5, momentum 0.1.
    # t=0, x = 1, 3: mean 2, variance 1 (of two: 2):   0.5 ± 2/√(1 + ε);   running mean 0.2, variance 0.9 + 0.2 = 1.1
    # t=1, x = 0, 8: mean 4, variance 16 (of two: 32): 0.5 ± 8/√(16 + ε);  running mean 0.4, variance 0.9 + 3.2 = 4.1
    norm = StepBatchNorm(1, steps=2).double()
    assert norm.weight.tolist() == pytest.approx([0.1]) and norm.bias.tolist() == [0]
    with torch.no_grad():
        norm.weight.fill_(2)
        norm.bias.fill_(0.5)

    def normalised(t: int, *x: float) -> list[float]:
        return norm(torch.tensor(x, dtype=F64).unsqueeze(1), t).flatten().tolist()

    assert normalised(0, 1, 3) == pytest.approx([0.5 - 2 / math.sqrt(1 + 1e-5), 0.5 + 2 / math.sqrt(1 + 1e-5)])
    assert normalised(1, 0, 8) == pytest.approx([0.5 - 8 / math.sqrt(16 + 1e-5), 0.5 + 8 / math.sqrt(16 + 1e-5)])
    assert norm.running_mean.flatten().tolist() == pytest.approx([0.2, 0.4])
    assert norm.running_var.flatten().tolist() == pytest.approx([1.1, 4.1])
    # In evaluation 2 (x − 0.2)/√(1.1 + ε) + 0.5 at t=0, and with 0.4 and 4.1 at t=1 and whenever it is later; one
    # sample will do, and nothing follows it.
    norm.eval()
    assert normalised(0, 1.2) == pytest.approx([0.5 + 2 / math.sqrt(1.1 + 1e-5)])
    for t in (1, 2, 700):
        assert normalised(t, 1.4) == pytest.approx([0.5 + 2 / math.sqrt(4.1 + 1e-5)])
    assert norm.running_mean.flatten().tolist() == pytest.approx([0.2, 0.4])
    # In training a later step's batch counts as the last one's: mean 0.9 · 0.4 + 0.1 · 1 = 0.46
    norm.train()
    normalised(5, 0, 2)
    assert norm.running_mean.flatten().tolist() == pytest.approx([0.2, 0.46])


def filled(parameter: torch.Tensor, bound: float) -> bool:
    """Whether these numbers look like U(−bound, bound): inside it, up to its ends, of its variance."""
    p = parameter.detach()
    fills = float(p.abs().max()) <= bound and float(p.abs().max()) > 0.9 * bound
    return fills and (p.numel() < 1000 or abs(float(p.std()) / (bound / math.sqrt(3)) - 1) < 0.05)


@pytest.mark.parametrize("recurrent_bias", [False, True])
@pytest.mark.parametrize(
    ("weights", "inward_bound", "recurrent_bound"),
    # Fan-ins: 3 inputs, 61 neurons.
    [("separate", 3, 61), ("joint", 64, 64), ("hidden", 61, 61)],
)
def test_uniform_weights_fill_their_bounds(weights, inward_bound, recurrent_bound, recurrent_bias):
    layer = network(hidden=[61], weights=weights, recurrent_bias=recurrent_bias).layers[0]
    for linear, fan_in in ((layer.inward, inward_bound), (layer.recurrent, recurrent_bound)):
        assert filled(linear.weight, 1 / math.sqrt(fan_in))
        assert linear.bias is None or filled(linear.bias, 1 / math.sqrt(fan_in))
    assert (layer.recurrent.bias is not None) == recurrent_bias


def test_orthogonal_weights():
    layer = network(hidden=[300], weights="orthogonal", recurrent_bias=True).layers[0]
    R = layer.recurrent.weight.detach()
    torch.testing.assert_close(R @ R.t(), torch.eye(300, dtype=F64), rtol=0, atol=1e-5)
    # Glorot's normal rule: sd √(2/(3 + 300)) = 0.0812
    assert float(layer.inward.weight.detach().std()) == pytest.approx(0.0812, rel=0.1)
    assert not layer.inward.bias.any() and not layer.recurrent.bias.any()


def test_nets_of_all_neurons_start_from_the_same_synapses():
    nets = [network(neuron, hidden=[5, 4]) for neuron in ("lif", "alif", "asrnn", "ltc", "rnn")]
    shared = [n for n, _ in nets[0].named_parameters()]
    assert len(shared) == 8
    for net in nets[1:]:
        for name in shared:
            assert torch.equal(net.get_parameter(name), nets[0].get_parameter(name))
