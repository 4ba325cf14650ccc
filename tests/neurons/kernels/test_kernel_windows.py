"""Windows by kernels, apart from their numbers: networks that get one, memory and its lifetime, and refusals."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from torch import nn

from tests.kernel_twins import NEURON_NAMES, before, by_steps, differing, inputs, network, plain_steps, shown
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks.kernels.norm_window import NormWindow
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.alif import ALIF
from throughtime.neurons.kernels.kernel import Kernel, kernel_of, loops_of
from throughtime.neurons.lif import LIF
from throughtime.neurons.lstm import LSTM
from throughtime.neurons.ltc import LTC
from throughtime.neurons.surrogate import smoothed

# --- who gets one


class WithoutAKernel(LIF):
    """Another step, ten times as strong."""

    def forward(self, current, state):
        return super().forward(10 * current, state)


class LearnsItsDecay(LIF):
    """LIF's step, with a parameter."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        α = self.alpha
        del self.alpha
        self.alpha = nn.Parameter(α)


class KernelOfLIF(Kernel):
    """The kernel of LIF, without the changes of the neuron."""

    def __init__(self, neuron, *more):
        super().__init__(LIF(neuron.shape).double(), *more)


def test_neurons_with_equations_have_a_kernel():
    for neuron in (LIF(3), ALIF(3), LearnsItsDecay(3), LSTM(3), LTC(3)):
        assert kernel_of(neuron) is Kernel
    assert kernel_of(WithoutAKernel(3)) is None
    assert kernel_of(LIF((2, 3))) is None


def test_the_first_step_needs_no_loop_of_its_own(monkeypatch):
    """Its state before is in numbers, the others' spikes in bytes: a loop is compiled for types, in seconds."""
    net = network("lif")
    adjoint = loops_of(net.layers[0].neuron).adjoint
    monkeypatch.setattr(adjoint, "entry_points", {})
    net.unroll(inputs(), before(net)).outputs.sum().backward()
    assert len(adjoint.entry_points) == 1


class Doubled(nn.Linear):
    """A map that is not its weights alone."""

    def forward(self, q):
        return 2 * super().forward(q)


def convolution(inputs, outputs):
    return nn.Conv1d(inputs[0], outputs[0], 3, padding=1)


@pytest.mark.parametrize(
    ("shape", "gate_map"), [(6, lambda inputs, outputs: Doubled(inputs[0], outputs[0])), ((2, 3), convolution)]
)
def test_gates_of_other_maps_run_by_autograd(shape, gate_map):
    """A gate of the sum of its inputs is one of the concatenated inputs, with equal weights."""
    torch.manual_seed(1)
    neurons = {how: LTC(shape, gate_map, gate_input=how).double() for how in ("concatenated", "summed")}
    for name in ("membrane_gate", "adaptation_gate"):
        joined, summed = (getattr(neuron, name) for neuron in neurons.values())
        with torch.no_grad():
            joined.weight.copy_(torch.cat((summed.weight, summed.weight), 1))
            joined.bias.copy_(summed.bias)
    I = torch.randn(3, *neurons["summed"].shape, dtype=torch.float64)
    result = []
    for neuron in neurons.values():
        assert kernel_of(neuron) is None
        state = neuron.initial_state(3, I)
        assert neuron.partials(I, state, state) is None
        for _ in range(3):
            _, state = neuron(I, state)
        result.append([*state, *torch.autograd.grad(state.v.square().sum(), neuron.membrane_gate.bias)])
    torch.testing.assert_close(*result)


@pytest.mark.parametrize("kind", [WithoutAKernel, LearnsItsDecay])
def test_a_subclass_has_its_own_step(kind):
    torch.manual_seed(1)
    net = Recurrent(3, 6, kind, hidden=[7]).double()
    x, state = inputs(), before(net)
    plain = by_steps(net, x, state)
    assert differing(shown(net, x, state), plain) == []
    with mock.patch("throughtime.networks.kernels.window.kernel_of", return_value=KernelOfLIF):
        assert differing(shown(net, x, state), plain) != []


def test_smooth_spikes_have_no_kernel():
    net = network("ltc", hidden=[7, 5])
    x, state = inputs(), before(net)
    with smoothed():
        smooth = shown(net, x, state)
        with plain_steps(net):
            plain = shown(net, x, state)
    assert bool(((plain["spikes 1"] > 0) & (plain["spikes 1"] < 1)).any())
    assert differing(smooth, plain) == []


def test_a_norm_refuses_a_batch_of_one_in_training():
    net = network("lif", norm_steps=12)
    with pytest.raises(ValueError, match="more than 1 value"):
        net.unroll(inputs(batch=1), before(net, 1))
    assert all(buffer.isfinite().all() for buffer in net.buffers())
    assert net.eval().unroll(inputs(batch=1), before(net, 1)).outputs.isfinite().all()


# --- a graph like autograd's


def gradients(net: Recurrent, E: torch.Tensor, **options) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(E, list(net.parameters()), allow_unused=True, materialize_grads=True, **options)


@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_without_gradients_the_numbers_are_the_same(neuron):
    for options in ({"hidden": [7, 5]}, {"readout": "membrane"}, {"norm_steps": 12}):
        net = network(neuron, **options)
        x, state = inputs(), before(net)
        learning = net.unroll(x, state)
        with torch.no_grad():
            resting = net.unroll(x, state)
        net.requires_grad_(False)
        for window in (resting, net.unroll(x, state)):
            assert not window.outputs.requires_grad
            assert torch.equal(window.outputs, learning.outputs)
            assert all(map(torch.equal, window.spikes, learning.spikes))
            assert all(map(torch.equal, window.state.layers[0], learning.state.layers[0]))


@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_a_graph_can_be_gone_back_twice_if_it_is_retained(neuron):
    net = network(neuron, hidden=[7, 5])
    E = net.unroll(inputs(), before(net)).outputs.square().sum()
    once, twice = gradients(net, E, retain_graph=True), gradients(net, E)
    assert all(map(torch.equal, once, twice))
    with pytest.raises(RuntimeError, match="second time"):
        gradients(net, E)


CHANGED = [
    ("lif", {}, "x"),
    ("lif", {}, "layers.0.recurrent.weight"),
    ("lif", {"hidden": [7, 5]}, "layers.1.inward.weight"),
    ("lif", {}, "readout.linear.weight"),
    ("asrnn", {}, "layers.0.neuron.tau"),
    ("ltc", {}, "layers.0.neuron.adaptation_gate.weight"),
    ("ltc", {"norm_steps": 12}, "layers.0.inward_norm.weight"),
    ("ltc", {}, "first b 0"),
    ("lif", {"norm_steps": 12, "eval": True}, "layers.0.recurrent_norm.running_mean"),
    ("rnn", {}, "layers.0.recurrent.weight"),
]


@pytest.mark.parametrize(("neuron", "options", "changed"), CHANGED)
def test_what_is_changed_before_the_way_back_is_an_error(neuron, options, changed):
    options = dict(options)
    evaluating = options.pop("eval", False)
    net = network(neuron, **options).train(not evaluating)
    x, state = inputs(), before(net)
    what = {"x": x, "first b 0": getattr(state.layers[0], "b", None), **net.state_dict(keep_vars=True)}[changed]
    E = net.unroll(x, state).outputs.square().sum()
    before_it = what.detach().clone()
    with torch.no_grad():
        what.data.add_(1).copy_(before_it)  # unseen, and undone
    gradients(net, E, retain_graph=True)
    with torch.no_grad():
        what.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradients(net, E)


@pytest.mark.parametrize("training", [True, False])
def test_norms_go_back_in_the_mode_they_came_in(training):
    net = network("lif", norm_steps=12).train(training)
    result = []
    for then in (training, not training):
        E = net.train(training).unroll(inputs(), before(net)).outputs.square().sum()
        net.train(then)
        result.append(gradients(net, E))
    assert all(map(torch.equal, *result))


class OtherWithoutGradients(Kernel):
    def begin(self, state, Z):
        super().begin(state if self.keep else state._replace(v=0.9 * state.v), Z)


class UsesItsWindowUp(Kernel):
    def back(self, t, δz, δv):
        super().back(t, δz, δv)
        if self.neuron.spiking:
            self.I[t].zero_()


class ReadsTheModeAnew(NormWindow):
    def begin_back(self, *given):
        self.in_loops = self.in_loops._replace(training=self.norm.training)
        super().begin_back(*given)


@pytest.mark.parametrize(
    ("whose", "broken", "test"),
    [
        ("lif", OtherWithoutGradients, test_without_gradients_the_numbers_are_the_same),
        ("lif", UsesItsWindowUp, test_a_graph_can_be_gone_back_twice_if_it_is_retained),
        ("norm", ReadsTheModeAnew, lambda _: test_norms_go_back_in_the_mode_they_came_in(True)),
    ],
)
def test_a_fault_is_found(whose, broken, test, monkeypatch):
    if whose == "lif":
        monkeypatch.setattr("throughtime.neurons.kernels.kernel.Kernel", broken)
    else:
        monkeypatch.setattr("throughtime.networks.kernels.window.NormWindow", broken)
    with pytest.raises(AssertionError):
        test("lif")


# --- memory

SLOTS = [
    # Kept for a step and neuron, beside a byte for its spike: numbers of 4 bytes.
    ("lif", {}, {}, 1),  # v
    ("lif", {}, {"readout": "membrane"}, 1),
    ("alif", {}, {}, 1),  # y
    ("alif", {}, {"readout": "membrane"}, 2),  # and v
    ("asrnn", {}, {}, 3),  # I, v, b
    ("ltc", {}, {}, 5),  # I, v, b, and g of both gates
    ("ltc", {"slope": "trained"}, {}, 5),
    ("ltc", {"adaptation": "off"}, {"readout": "membrane"}, 3),  # I, v, g
    ("rnn", {}, {}, 1),  # z
    ("rnn", {}, {"readout": "membrane"}, 1),
    ("lstm", {}, {}, 6),  # four currents, c, z
    ("lif", {}, {"norm_steps": 30}, 3),  # v, and W x + c and R z before their norms
]


@pytest.mark.parametrize(("neuron", "neuron_options", "options", "slots"), SLOTS)
def test_bytes_kept_for_a_step(neuron, neuron_options, options, slots):
    batch, size, outputs = 5, 8, 6
    net = network(neuron, neuron_options, hidden=[size], **options).float()

    def kept(steps: int) -> int:
        with LiveBytes() as live:
            window = net.unroll(x[:steps], state)
            y = window.state.y
            del window
            assert y.requires_grad
            return live.current

    x, state = torch.randn(30, batch, 3), net.initial_state(batch)
    kept(1)
    step_bytes = batch * size * (4 * slots + net.spiking)
    readout_bytes = 0
    if "norm_steps" in options:
        step_bytes += 2 * 2 * 4 * size  # mean and deviation of both norms
        readout_bytes = 4 * outputs * (batch + 2)
    assert kept(30) - kept(10) == 20 * (step_bytes + readout_bytes)
    with plain_steps(net):
        assert kept(30) - kept(10) > 20 * (step_bytes + readout_bytes)


@pytest.fixture
def without_collecting() -> Iterator[None]:
    """Disable the garbage collector, so that reference cycles stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left(net: Recurrent, back: int) -> tuple[int, int]:
    """Return the bytes that so many backward passes leave while the graph exists, and those left after it is freed."""
    x, state = inputs(), before(net)
    with LiveBytes() as live:
        y = net.unroll(x, state).state.y
        begun = live.current
        for _ in range(back):
            torch.autograd.grad(y, list(net.parameters()), y.detach(), retain_graph=True, allow_unused=True)
        with_graph = live.current - begun
        del y
    return with_graph, live.current


@pytest.mark.parametrize("options", [{"hidden": [7, 5]}, {"readout": "membrane"}, {"norm_steps": 12}])
@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_nothing_is_left_of_a_window_when_its_graph_is_gone(neuron, options, without_collecting):
    for back in (0, 1, 2):
        assert left(network(neuron, **options), back) == (0, 0)


class HandsOutItsOwn(Kernel):
    """A result that its own graph refers to."""

    def end(self, z):
        after = super().end(z)
        self.last = after.v
        return after


class GoesInACircle(Kernel):
    def begin_back(self, *given):
        super().begin_back(*given)
        self.circle = self.begin_back


class LeavesItsScratch(Kernel):
    def begin(self, state, Z):
        super().begin(state, Z)
        self.scratch = []

    def back(self, t, δz, δv):
        super().back(t, δz, δv)
        self.scratch.append(δz)


@pytest.mark.parametrize("broken", [HandsOutItsOwn, GoesInACircle, LeavesItsScratch])
def test_what_is_left_is_found(broken, without_collecting, monkeypatch):
    monkeypatch.setattr("throughtime.neurons.kernels.kernel.Kernel", broken)
    with_graph, after = left(network("alif"), 1)
    assert (with_graph > 0) == (broken is not HandsOutItsOwn)
    assert (after > 0) == (broken is not LeavesItsScratch)


@pytest.mark.parametrize("options", [{}, {"norm_steps": 12, "recurrent_bias": True}], ids=["plain", "norms"])
def test_one_sample_and_one_step_change_no_parameter(options):
    """Products are never accumulated in the bias itself."""
    net = network("ltc", **options).eval()
    state_before = copy.deepcopy(net.state_dict())
    net.unroll(inputs(1, 1), before(net, 1))
    with torch.no_grad():
        net.unroll(inputs(5, 1), before(net, 1))
    assert all(torch.equal(value, state_before[name]) for name, value in net.state_dict().items())
