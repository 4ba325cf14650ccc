"""Neurons with one fault each: the fact that must find it does, and holds for the neuron without the fault."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.checks.test_checks import Twin, assert_found_out, fact_of, title
from throughtime.neurons.alif import ALIF
from throughtime.neurons.base import Neuron
from throughtime.neurons.kernels.kernel import Kernel
from throughtime.neurons.kernels.one_step import NeuronOneStep
from throughtime.neurons.lif import LIF, LIFState
from throughtime.neurons.ltc import LTC
from throughtime.neurons.surrogate import constant, spike


class Soft(LIF):
    """LIF by hand, without partial derivatives: sound; base of several twins."""

    def forward(self, current, state):
        v = self.moved(0.9 * state.v + 0.1 * current - 0.1 * constant(state.z))
        z = self.sent(v)
        return z, LIFState(v, z)

    def moved(self, v: Tensor) -> Tensor:
        return v

    def sent(self, v: Tensor) -> Tensor:
        return spike(v - 0.1, "multi_gaussian")

    def partials(self, current, state, next_state):
        return None


def moving(name: str, moved: Callable[[Tensor], Tensor]) -> type[Soft]:
    """A neuron whose membrane potential is changed besides."""
    return type(name, (Soft,), {"moved": lambda self, v: moved(v)})


def sending(name: str, sent: Callable[[Tensor], Tensor]) -> type[Soft]:
    """A neuron that sends something else."""
    return type(name, (Soft,), {"sent": lambda self, v: sent(v)})


# --- state


class StateWithoutZ(NamedTuple):
    v: Tensor


class HasNoZ(Soft):
    def initial_state(self, batch, like):
        return StateWithoutZ(like.new_zeros(batch, *self.shape))

    def forward(self, current, state):
        v = 0.9 * state.v + 0.1 * current
        return self.sent(v), StateWithoutZ(v)


class StartsInAnotherType(Soft):
    def initial_state(self, batch, like):
        return LIFState(torch.zeros(batch, self.size), torch.zeros(batch, self.size))


class StartsWithoutBatch(Soft):
    def initial_state(self, batch, like):
        return LIFState(like.new_zeros(self.size), like.new_zeros(self.size))


class StartsFlat(Soft):
    def initial_state(self, batch, like):
        return LIFState(like.new_zeros(batch, self.size), like.new_zeros(batch, self.size))


class SendsWhatItDoesNotKeep(Soft):
    """Its state has the spikes of the step before."""

    def forward(self, current, state):
        z, after = super().forward(current, state)
        return z, after._replace(z=state.z)


class HalfASpike(Soft):
    def sent(self, v):
        return super().sent(v) / 2


# --- a pure step, of each sample and of each neuron


class ChangesItsState(Soft):
    def forward(self, current, state):
        state.v.mul_(0.9)
        return super().forward(current, state)


class ChangesItsCurrent(Soft):
    def forward(self, current, state):
        return super().forward(current.mul_(0.5), state)


class Counts(Soft):
    """Each step is a little stronger than the one before."""

    steps = 0

    def moved(self, v):
        self.steps += 1
        return v * (1 + 1e-6 * self.steps)


class Trembles(Soft):
    def moved(self, v):
        return v + 1e-6 * torch.randn_like(v)


class MixesOneWay(Soft):
    """Each neuron sees those behind it, and none of those before."""

    def moved(self, v):
        return v + 0.01 * v.flip(1).cumsum(1).flip(1)


class SeesAll(Soft):
    """The mean of all spikes of the layer lowers each potential."""

    def forward(self, current, state):
        return super().forward(current - state.z.mean(1, keepdim=True), state)


class SaysSo(SeesAll):
    """The same neuron, declared as one whose neurons are not independent."""

    elementwise: ClassVar[bool] = False


# --- derivatives


class PartialWithoutScale(LIF):
    """∂v_t/∂I_t = 1."""

    def partials(self, current, state, next_state):
        partials = super().partials(current, state, next_state)
        return partials._replace(inflows={"current": partials.inflows["current"]._replace(by_input={"v": 1.0})})


class PartialOfTheResetBesides(LIF):
    def partials(self, current, state, next_state):
        partials = super().partials(current, state, next_state)
        return partials._replace(from_previous={**partials.from_previous, ("v", "z"): -self.threshold})


class PartialOfAdaptationTurned(ALIF):
    """A higher threshold makes it fire more."""

    def partials(self, current, state, next_state):
        partials = super().partials(current, state, next_state)
        return partials._replace(within_step={**partials.within_step, ("z", "a"): -partials.within_step["z", "a"]})


class PartialOfAGateLeftOut(LTC):
    def partials(self, current, state, next_state):
        partials = super().partials(current, state, next_state)
        return partials._replace(
            inflows={name: inflow for name, inflow in partials.inflows.items() if name != "membrane_gate"}
        )


class Detaches(Soft):
    """The reset is held constant by hand, even where everything is smooth."""

    def forward(self, current, state):
        return super().forward(current, state._replace(z=state.z.detach()))


class TwiceTheSurrogate(Soft):
    def sent(self, v):
        z = super().sent(v)
        return 2 * z - z.detach()


class SurrogateOfAnotherPlace(Soft):
    """The surrogate is centred where no spike begins."""

    def sent(self, v):
        z, elsewhere = super().sent(v), super().sent(v - 0.1)
        return elsewhere + (z - elsewhere).detach()


class LearnsNothing(Soft):
    """It has a gain that it does not use."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.gain = nn.Parameter(torch.ones(size))


class LearnsAGain(LearnsNothing):
    def moved(self, v):
        return v * self.gain


class SendsNoGradient(Soft):
    """Spikes without a surrogate: nothing that feeds the neuron learns."""

    def sent(self, v):
        return (v > 0.1).to(v.dtype)


# --- kernels


class TurnsTheReset(Kernel):
    def begin(self, state, Z):
        super().begin(state, Z)
        self.compiled = False

    def step(self, t, I, z_before, z):
        super().step(t, I, -z_before, z)


class ForgetsWhatReadsMembranes(Kernel):
    def back(self, t, δz, δv):
        super().back(t, δz, δv if t + 1 == self.steps else None)


class ForgetsTheFirst(Kernel):
    def state_gradient(self):
        δ = super().state_gradient()
        return δ._replace(v=torch.zeros_like(δ.v))


class ForgetsItsPastWithoutGradients(Kernel):
    def begin(self, state, Z):
        super().begin(state if self.keep else state._replace(v=torch.zeros_like(state.v)), Z)


class CannotDoOneStep(Kernel):
    def membranes(self):
        return super().membranes() if len(self.I) > 1 else super().membranes() + 1


class ForgetsTheGain(Kernel):
    def parameter_gradients(self):
        return {}


class LearnsItsGain(LIF):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.gain = nn.Parameter(torch.linspace(0.8, 1.2, size))

    def step(self, I, s):
        return super().step(self.gain * I, s)


class ForgetsThatMembranesAreRead(NeuronOneStep):
    def gradient(self, now):
        self.δv.zero_()
        super().gradient(now)


class SingleStepsOfAnotherThreshold(NeuronOneStep):
    def __init__(self, neuron, *more):
        neuron = copy.copy(neuron)
        if isinstance(neuron, LIF):  # a readout is a layer, too, without a threshold
            neuron.threshold *= 1.01
        super().__init__(neuron, *more)


def with_single_steps(broken: type[NeuronOneStep]) -> Twin:
    return Twin(SINGLE, LIF, LIF, patches=(("throughtime.neurons.kernels.one_step.NeuronOneStep", broken),))


def with_kernel(broken: type[Kernel], neuron: type[Neuron] = LIF) -> Twin:
    return Twin(KERNEL, neuron, neuron, patches=(("throughtime.neurons.kernels.kernel.Kernel", broken),))


STATE, PURE, SMOOTH = (
    "state is [batch, size] and finite",
    "a step is a pure function",
    "smoothed gradient = finite differences",
)
APART, MIX, PARTIALS = "samples do not mix", "neurons do not mix, as declared", "claimed partials = autograd"
EXACT = "without R: diagonal RTRL = BPTT"
SHAPE = "a layer of shape (2, 3) = one of size 6"
KERNEL, SINGLE = "compiled window = steps, with gradients", "compiled step = step, with gradients"
TWINS = [
    Twin(STATE, moving("IsNoNumber", lambda v: v / v.detach().clamp(max=0.2).sub(0.2)), Soft),
    Twin(STATE, moving("HasOneForAll", lambda v: v.mean(1, keepdim=True)), Soft),
    Twin(STATE, sending("SendsOneForAll", lambda v: spike(v.mean(1, keepdim=True), "triangle")), Soft),
    Twin(STATE, moving("TurnsSingle", lambda v: v.float()), Soft),
    Twin(STATE, HasNoZ, Soft),
    Twin(STATE, StartsInAnotherType, Soft),
    Twin(STATE, StartsWithoutBatch, Soft),
    Twin(STATE, SendsWhatItDoesNotKeep, Soft),
    Twin("spikes are 0 or 1", HalfASpike, Soft),
    Twin("spikes are 0 or 1", sending("SendsItsPotential", lambda v: v), Soft),
    Twin("spikes are 0 or 1", sending("SendsBothSigns", lambda v: 2 * spike(v, "triangle") - 1), Soft),
    Twin(PURE, ChangesItsState, Soft),
    Twin(PURE, ChangesItsCurrent, Soft),
    Twin(PURE, Counts, Soft),
    Twin(PURE, Trembles, Soft),
    Twin(APART, moving("TakesTheBatchMeanOut", lambda v: v - 0.1 * v.mean(0)), Soft),
    Twin(MIX, moving("TakesTheLayerMeanOut", lambda v: v - 0.1 * v.mean(1, keepdim=True)), Soft),
    Twin(MIX, MixesOneWay, Soft),
    Twin(MIX, moving("SeesItsNeighbour", lambda v: v + 0.01 * v.roll(1, 1)), Soft),
    Twin(MIX, SeesAll, Soft),
    Twin(EXACT, moving("SeesItsNeighbour", lambda v: v + 0.01 * v.roll(1, 1)), Soft),
    Twin(EXACT, MixesOneWay, Soft),
    Twin(SHAPE, moving("ScalesByTheFirstDimension", lambda v: v * (1 + 1e-9 * v.shape[1])), Soft),
    Twin(SHAPE, StartsFlat, Soft),
    Twin(PARTIALS, PartialWithoutScale, LIF),
    Twin(PARTIALS, PartialOfTheResetBesides, LIF),
    Twin(PARTIALS, PartialOfAdaptationTurned, ALIF),
    Twin(PARTIALS, PartialOfAGateLeftOut, LTC),
    with_kernel(TurnsTheReset),
    with_kernel(ForgetsWhatReadsMembranes),
    with_kernel(ForgetsTheFirst),
    with_kernel(ForgetsItsPastWithoutGradients),
    with_kernel(CannotDoOneStep),
    with_kernel(ForgetsTheGain, LearnsItsGain),
    with_single_steps(ForgetsThatMembranesAreRead),
    with_single_steps(SingleStepsOfAnotherThreshold),
    Twin(SMOOTH, Detaches, Soft),
    Twin(SMOOTH, TwiceTheSurrogate, Soft),
    Twin(SMOOTH, SurrogateOfAnotherPlace, Soft),
    Twin("every parameter gets a gradient", LearnsNothing, LearnsAGain),
    Twin("every parameter gets a gradient", SendsNoGradient, Soft),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("neurons", twin, monkeypatch)


def test_a_layer_that_says_that_it_mixes_is_believed():
    result = fact_of("neurons", SaysSo, MIX)
    assert (result.verdict, result.note) == ("does not apply", "it says that neurons depend on each other")


@pytest.mark.parametrize("fact", [KERNEL, SINGLE])
def test_a_kernel_is_not_asked_of_a_neuron_without_one(fact):
    result = fact_of("neurons", Soft, fact)
    assert (result.verdict, result.note) == ("does not apply", "it has none")
