"""Loops derived from a neuron's equations: they equal its plain steps, and refusals name the line."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from tests.kernel_twins import assert_same, before, by_steps, differing, inputs, shown
from tests.numerics.equations.test_adjoint import FAULTS, MADE
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.asrnn import ASRNN
from throughtime.neurons.base import Neuron
from throughtime.neurons.equations import equations_of, trace
from throughtime.neurons.gate import Gate
from throughtime.neurons.kernels.kernel import Kernel, kernel_of, loops_of
from throughtime.neurons.lif import LIF, LIFState
from throughtime.neurons.surrogate import constant, spike
from throughtime.numerics.equations.expression import RefusedError
from throughtime.numerics.equations.operations import OPERATIONS, tanh, σ
from throughtime.numerics.loops import without_compiled_loops
from throughtime.registry import NEURONS


class State(NamedTuple):
    v: Tensor
    w: Tensor
    z: Tensor


class Sent(NamedTuple):
    z: Tensor


class Drawn(Neuron):
    """A neuron whose equations are drawn."""

    elementwise = True

    def __init__(self, size: int, seed: int) -> None:
        super().__init__(size)
        draw = random.Random(seed)
        self.lines = [(draw.randrange(len(MADE)), draw.randrange(99), draw.randrange(99)) for _ in range(8)]
        self.kappa, self.tau = nn.Parameter(torch.tensor(1.3)), nn.Parameter(torch.linspace(0.5, 2, size))
        self.register_buffer("alpha", torch.tensor([0.8]))

    def initial_state(self, batch: int, like: Tensor) -> State:
        return State(*like.new_zeros(3, batch, *self.shape))

    def step(self, I: Tensor, s: State) -> State:
        values = [I, s.v, s.w, self.tau, self.kappa, s.z]
        for made, a, b in self.lines:
            values.append(MADE[made](values[a % len(values)], values[b % len(values)]))
        v = self.alpha * s.v + tanh(values[-1]) + 0.1 * self.kappa * I - 0.2 * self.tau * constant(s.z)
        w = 0.5 * s.w + tanh(values[-2] * s.v) + 0.1 * s.z * self.tau
        return State(v, w, z=spike(v - 0.3 * w - 0.1, "arctan"))


def network_of(seed: int) -> Recurrent:
    torch.manual_seed(1)
    return Recurrent(3, 6, lambda size: Drawn(size, seed), hidden=[7], readout="membrane").double()


@pytest.mark.parametrize("seed", range(12))
def test_windows_of_drawn_neurons_on_tensors_are_their_steps(seed):
    net = network_of(seed)
    assert kernel_of(net.layers[0].neuron) is Kernel
    with without_compiled_loops():
        assert_same(net, inputs(), before(net))


@pytest.mark.parametrize("seed", range(2))
def test_windows_of_drawn_neurons_in_loops_are_their_steps(seed):
    net = network_of(seed)
    assert_same(net, inputs(), before(net))
    assert_same(net, inputs(), before(net), cuts=(5,))


class PassesOn(LIF):
    """A neuron whose state is its current, and whose gradients are what it gets: what one place holds another needs."""

    def initial_state(self, batch, like):
        return State(*like.new_zeros(3, batch, *self.shape))

    def step(self, I, s):
        after = super().step(I, s)
        return State(v=after.v + s.w, w=I, z=after.z)


def test_what_is_read_and_written_in_one_place_is_read_first():
    torch.manual_seed(1)
    net = Recurrent(3, 6, PassesOn, hidden=[7], readout="membrane").double()
    assert_same(net, inputs(), before(net))
    with without_compiled_loops():
        assert_same(net, inputs(), before(net))


class StaleState(Kernel):
    """Its adjoint reads the state of the step before."""

    def begin_back(self, *given):
        self.fields = {f: window.roll(1, 0) for f, window in self.fields.items()}
        super().begin_back(*given)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_derivative_is_found(fault):
    op, derivatives = FAULTS[fault]
    net = network_of(4)
    x, state = inputs(), before(net)
    with without_compiled_loops():
        plain = by_steps(net, x, state)
        assert differing(shown(net, x, state), plain) == []
        with mock.patch.dict(OPERATIONS, {op: OPERATIONS[op]._replace(derivatives=derivatives)}):
            assert differing(shown(net, x, state), plain) != []


def test_a_stale_state_is_found():
    net = network_of(4)
    x, state = inputs(), before(net)
    plain = by_steps(net, x, state)
    with without_compiled_loops(), mock.patch("throughtime.neurons.kernels.kernel.Kernel", StaleState):
        result = differing(shown(net, x, state), plain)
    assert "outputs" not in result and "outputs by x" in result


def test_lif_keeps_its_membrane_in_the_place_of_the_current_and_nothing_else():
    loops = loops_of(LIF(4))
    assert loops.kept_fields == ["v"] and loops.kept_values == [] and not loops.keeps_current
    assert loops.in_place_of_current is loops.equations.after["v"]


class Named(LIF):
    """Fields and attributes have the names that loops use."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.I, self.w, self.t = nn.Parameter(torch.ones(size)), 0.5, nn.Parameter(torch.ones(()))

    def initial_state(self, batch, like):
        return NamedState(*like.new_zeros(5, batch, *self.shape))

    def step(self, I, s):
        after = super().step(I * self.I + s.I * self.w + s.t * self.t, s)
        return NamedState(I, after.v, after.z, t=0.5 * s.t + I, n=0.5 * s.n)


class NamedState(NamedTuple):
    I: Tensor
    v: Tensor
    z: Tensor
    t: Tensor
    n: Tensor


def test_names_of_fields_and_attributes_are_free():
    torch.manual_seed(1)
    net = Recurrent(3, 6, Named, hidden=[7]).double()
    assert kernel_of(net.layers[0].neuron) is Kernel
    assert_same(net, inputs(), before(net))


class SendsNumbers(LIF):
    """Its output, and so the gradient of R, is no spike; the adjoint reads it."""

    spiking = False

    def step(self, I, s):
        after = super().step(I, s)
        return after._replace(v=after.v * after.z, z=tanh(3 * after.v))


class HasTwoCurrents(LIF):
    currents = 2

    def step(self, I, s):
        return super().step(I[0] - 0.5 * I[1] * I[1], s)


class SendsItsMembrane(LIF):
    """v is z, and the next step reads it as v."""

    spiking = False

    def step(self, I, s):
        v = tanh(0.5 * s.v + I)
        return LIFState(v, z=v)


class ScalesItsTimeConstants(Drawn):
    """A trained number that all neurons share is a factor of a trained number of each."""

    def step(self, I, s):
        v = σ(self.kappa * self.tau) * s.v + I - constant(s.z)
        return State(v, 0.5 * s.w + v, z=spike(v - 0.5, "arctan"))


def test_a_shared_number_has_the_gradients_of_all_neurons():
    torch.manual_seed(1)
    net = Recurrent(3, 6, lambda size: ScalesItsTimeConstants(size, 0), hidden=[7], readout="membrane").double()
    assert kernel_of(net.layers[0].neuron) is Kernel
    assert_same(net, inputs(), before(net))


class HasGates(LIF):
    """Its gates read the output, a field that is a copy of it, and a field that never changes."""

    spiking = False

    def __init__(self, size: int, currents: int) -> None:
        super().__init__(size)
        self.currents = currents
        self.z_map, self.v_map, self.w_map = (
            nn.Linear((1 + currents) * size, size, bias) for bias in (True, False, True)
        )
        self.gates = {"z": Gate("z_map", reads="z"), "v": Gate("v_map", reads="v"), "w": Gate("w_map", reads="w")}

    def initial_state(self, batch, like):
        return State(*like.new_zeros(3, batch, *self.shape))

    def step(self, I, s, g):
        v = σ(g.z) * tanh(g.v) + s.w * σ(g.w) + 0.1 * s.z
        return State(v, s.w, z=v)


@pytest.mark.parametrize(
    "kind",
    [SendsNumbers, HasTwoCurrents, SendsItsMembrane, partial(HasGates, currents=1), partial(HasGates, currents=2)],
    ids=["numbers", "two currents", "one value", "gates", "gates of two currents"],
)
def test_outputs_of_any_kind_several_currents_and_gates(kind):
    torch.manual_seed(1)
    net = Recurrent(3, 6, kind, hidden=[7], readout="membrane").double()
    neuron, x, state = net.layers[0].neuron, inputs(), before(net)
    assert kernel_of(neuron) is Kernel
    plain = by_steps(net, x, state)
    assert differing(shown(net, x, state), plain) == []
    with without_compiled_loops():
        assert differing(shown(net, x, state), plain) == []


def test_partial_derivatives_by_several_currents():
    neuron = HasTwoCurrents(4)
    current, state = torch.randn(3, 8), neuron.initial_state(3, torch.zeros(1))
    by_current = neuron.partials(current, state, neuron(current, state)[1]).inflows["current"].by_input["v"]
    assert by_current.shape == (3, 2, 4)
    torch.testing.assert_close(by_current[:, 1], -current[:, 4:] * by_current[:, 0])


# --- refusals


class Refused(LIF):
    """LIF with something in its step that no loop does."""

    what = "nothing"
    weight: Tensor

    def step(self, I: Tensor, s: Any) -> Any:
        after = super().step(I, s)
        return after._replace(v=getattr(self, self.what)(after.v))

    def branch(self, v: Tensor) -> Tensor:
        return v if v else 2 * v

    def comparison(self, v: Tensor) -> Tensor:
        return 2 * v if v > 0 else v

    def unknown_function(self, v: Tensor) -> Tensor:
        return torch.sin(v)

    def function_of_numbers(self, v: Tensor) -> Tensor:
        return math.exp(v)

    def method(self, v: Tensor) -> Tensor:
        return v.sigmoid()

    def matrix(self, v: Tensor) -> Tensor:
        return v @ self.weight

    def module(self, v: Tensor) -> Tensor:
        return self.map(v)

    def other_tensor(self, v: Tensor) -> Tensor:
        return torch.ones(3) * v


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("branch", "a branch on a value of the step"),
        ("comparison", "a comparison of values"),
        ("unknown_function", "`sin` of PyTorch"),
        ("function_of_numbers", "a function that is not of the step compiler"),
        ("method", "`.sigmoid` of a value"),
        ("matrix", "a product of matrices"),
        ("module", "`linear` of PyTorch"),
        ("other_tensor", "a tensor that is no attribute"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_its_line(what, message):
    neuron = Refused(3)
    neuron.what, neuron.map = what, nn.Linear(3, 3)
    neuron.weight = nn.Parameter(torch.ones(3, 3))
    code = getattr(Refused, what).__code__
    with pytest.raises(RefusedError, match=message) as refused:
        trace(neuron)
    assert (refused.value.filename, refused.value.line) == (code.co_filename, code.co_firstlineno + 1)


class HasAGate(LIF):
    def __init__(self, size, reads, in_step):
        super().__init__(size)
        self.map, self.in_step = nn.Linear(2 * size, size), in_step
        self.gates = {"a": Gate("map", reads)}

    def step(self, I, s, g):
        return super().step(getattr(g, self.in_step) if self.in_step else I, s)


class ReadsNoField(LIF):
    def step(self, I, s):
        return super().step(I + s.q, s)


class Unpacks(LIF):
    def step(self, I, s):
        v, z = s
        return super().step(I + v + z, s)


class Constant(LIF):
    def step(self, I, s):
        return super().step(I, s)._replace(v=2.0)


class HasNoV(LIF):
    def step(self, I, s):
        return Sent(super().step(I, s).z)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ReadsNoField, "q before"),
        (Unpacks, "not unpacked"),
        (Constant, "v depends on no current"),
        (HasNoV, "has no v"),
        (partial(HasAGate, reads="q", in_step="a"), "a gate reads no field of the state: q"),
        (partial(HasAGate, reads="v", in_step=""), "does not read g a"),
        (partial(HasAGate, reads="v", in_step="b"), "has no attribute 'b'"),
    ],
)
def test_a_state_is_read_by_its_fields_and_whole(kind, message):
    with pytest.raises(RefusedError, match=message):
        trace(kind(3))


def test_registration_reports_a_step_that_cannot_be_compiled():
    class Clamped(LIF):
        def step(self, I, s):
            return super().step(I.clamp(max=2), s)

    line = Clamped.step.__code__.co_firstlineno + 1
    before_it = torch.get_rng_state()
    with (
        NEURONS.isolated(),
        pytest.warns(RuntimeWarning, match="the step of Clamped is not compiled.*`.clamp`") as result,
    ):
        NEURONS.register("clamped")(Clamped)
    assert [(w.filename, w.lineno) for w in result] == [(__file__, line)]
    assert equations_of(Clamped(3)) is None, "without a second warning"
    assert torch.equal(torch.get_rng_state(), before_it)


def test_registration_traces_only_what_it_can():
    class NeedsAnOption(LIF):
        def __init__(self, shape, *, gain):
            super().__init__(shape)

        def step(self, I, s):
            return super().step(I.abs(), s)

    class UsesALaterName(LIF):
        def step(self, I, s):
            return super().step(later(I), s)  # noqa: F821

    class RunsByAutograd(LIF):
        def forward(self, current, state):
            return super().forward(current.abs(), state)

    with NEURONS.isolated():
        for kind in (NeedsAnOption, UsesALaterName, RunsByAutograd):
            NEURONS.register(kind.__name__)(kind)


def test_a_neuron_that_is_refused_says_so_once_and_runs_by_autograd():
    torch.manual_seed(1)
    net = Recurrent(3, 6, Refused, hidden=[7]).double()
    neuron = net.layers[0].neuron
    neuron.what = "comparison"
    with mock.patch.object(Refused, "comparison", lambda self, v: v.clamp(max=9)):
        with pytest.warns(RuntimeWarning, match="the step of Refused is not compiled, it runs by autograd: `.clamp`"):
            assert equations_of(neuron) is None
        assert kernel_of(neuron) is None
        x, state = inputs(), before(net)
        outputs = net.unroll(x, state).outputs
        torch.testing.assert_close(outputs[0], net(x[0], state)[0].output)


def test_an_option_that_changes_changes_the_equations():
    neuron = LIF(3)
    first = equations_of(neuron)
    assert equations_of(neuron) is first
    neuron.threshold = 0.2
    assert equations_of(neuron) is first, "a number is read when a loop runs"
    neuron.surrogate = "arctan"
    assert equations_of(neuron) is not first
    neuron = ASRNN(3)
    first = equations_of(neuron)
    neuron.reset_gradient = False
    assert equations_of(neuron) is not first


def test_a_number_that_becomes_a_parameter_is_trained():
    net = Recurrent(3, 6, LIF, hidden=[7]).double()
    net.unroll(inputs(), before(net))
    net.layers[0].neuron.threshold = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))
    assert_same(net, inputs(), before(net))
    net.unroll(inputs(), before(net)).outputs.sum().backward()
    assert net.layers[0].neuron.threshold.grad.abs() > 0
