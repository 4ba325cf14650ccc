"""Networks with one fault each: the fact that must find it does, and holds for the network without the fault."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tests.checks.test_checks import Twin, assert_found_out, few_neurons, title
from throughtime.networks.base import Step, Window
from throughtime.networks.layer import INPUT, Synapse
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.trees import detached


@pytest.fixture(autouse=True)
def neurons(monkeypatch):
    few_neurons(monkeypatch, "lif", "lstm", "ltc_smnist")


class Net(Recurrent):
    """A small recurrent net: sound; base of the twins."""

    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=hidden)


# --- single steps


class ScalesSingleSteps(Net):
    def stepper(self, state, gradients):
        taken = super().stepper(state, gradients)
        if taken is not None:
            step = taken.step
            taken.step = lambda x: step(x) * (1 + 1e-9)
        return taken


# --- layers as data


class SaysAnotherLeak(Net):
    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=hidden)
        self.said = copy.deepcopy(self.readout)
        self.said.neuron.decay *= 1 - 1e-9

    def forward(self, x, state):
        self.readouts = (self.readout,)
        step, after = super().forward(x, state)
        self.readouts = (self.said,)
        return step, after

    described = True


class SaysAnotherSource(Net):
    """Its second synapse reads z of the step before, but declares that it reads the network's input."""

    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=(inputs,))
        (layer,) = self.layers
        self.synapses = layer.synapses
        self.said = {**layer.synapses, "recurrent": Synapse(layer.recurrent, INPUT)}

    def forward(self, x, state):
        (layer,) = self.layers
        layer.synapses = self.synapses
        step, after = super().forward(x, state)
        layer.synapses = self.said
        return step, after

    described = True


# --- a window and its steps


class ScalesTheWindow(Net):
    def unroll(self, x, state):
        window = super().unroll(x, state)
        return window._replace(outputs=window.outputs * (1 + 1e-9))


class CutsTheWindow(Net):
    """The same numbers, but half of the gradient."""

    def unroll(self, x, state):
        first = super().unroll(x[: len(x) // 2], state)
        second = super().unroll(x[len(x) // 2 :], detached(first.state))
        return second._replace(
            outputs=torch.cat((first.outputs, second.outputs)),
            spikes=tuple(map(torch.cat, zip(first.spikes, second.spikes, strict=True))),
        )


class ShowsOtherSpikes(Net):
    def unroll(self, x, state):
        window = super().unroll(x, state)
        return window._replace(spikes=tuple(z.roll(1, 0) for z in window.spikes))


class HandsBackAnOlderState(Net):
    """The state before the last step."""

    def unroll(self, x, state):
        before = super().unroll(x[:-1], state) if len(x) > 1 else None
        window = super().unroll(x, state)
        return window._replace(state=before.state) if before else window


class DoesNotCountItsSteps(Net):
    """A step that is weaker the later it comes, in a window that thinks each is the first."""

    def forward(self, x, state):
        step, after = super().forward(x / (1 + state.t), state)
        return step, after

    def unroll(self, x, state):
        weights = 1 / (1 + torch.arange(len(x), dtype=x.dtype))
        return super().unroll(x * weights[:, None, None], state)


class CountsItsSteps(DoesNotCountItsSteps):
    def unroll(self, x, state):
        weights = 1 / (1 + state.t + torch.arange(len(x), dtype=x.dtype))
        return Recurrent.unroll(self, x * weights[:, None, None], state)


class ForgetsBetweenWindows(Net):
    def unroll(self, x, state):
        return super().unroll(x, self.initial_state(x.shape[1]))


class ForgetsItsOutput(Net):
    def unroll(self, x, state):
        return super().unroll(x, state._replace(y=torch.zeros_like(state.y)))


# --- weights


class DrawnByNumpy(Net):
    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=hidden)
        with torch.no_grad():
            self.readout.linear.bias.copy_(torch.from_numpy(np.random.default_rng().normal(size=outputs)))


class WiredByNumpy(Net):
    """Which synapses there are is drawn by another generator; it is no parameter."""

    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=hidden)
        self.register_buffer("wired", torch.from_numpy(np.random.default_rng().random((100, 100)) < 0.5))


class SeedsTorch(Net):
    """The same weights whatever the seed: replicates are one run, repeated."""

    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        torch.manual_seed(0)
        super().__init__(inputs, outputs, neuron, hidden=hidden)


class HasOneForNothing(Net):
    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=hidden)
        self.gain = nn.Parameter(torch.ones(outputs))


class DoesNotTrainItsInput(Net):
    """A window and its steps alike."""

    def forward(self, x, state):
        weight = self.layers[0].inward.weight
        self.layers[0].inward.weight = nn.Parameter(weight.detach())
        shown = super().forward(x, state)
        self.layers[0].inward.weight = weight
        return shown


# --- samples


class TakesTheMeanOut(Net):
    def unroll(self, x, state):
        window = super().unroll(x, state)
        return window._replace(outputs=window.outputs - window.outputs.mean(1, keepdim=True))


class NormalisesAndSaysNothing(Recurrent):
    """Batch normalisation, in training; in evaluation it uses its running statistics."""

    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=hidden, norm_steps=12)
        self.mixes_samples = False


class Normalises(Recurrent):
    def __init__(self, inputs, outputs, neuron, *, hidden=(5,)) -> None:
        super().__init__(inputs, outputs, neuron, hidden=hidden, norm_steps=12)


# --- gradients


class CutsItsRecurrence(Net):
    """No gradient through the recurrent input of neurons; in the window and in its steps alike."""

    def forward(self, x, state):
        layer = self.layers[0]
        before = state.layers[0]
        current = layer.inward(x) + before.z.detach() @ layer.recurrent.weight.t()
        z, after = layer.neuron(current, before)
        y = self.readout(self.readout.linear(after.z), state.y)
        return Step(y, (z,)), state._replace(layers=(after,), y=y, t=state.t + 1)

    def unroll(self, x, state):
        shown = []
        for x_t in x:
            step, state = self(x_t, state)
            shown.append(step)
        spikes = torch.stack([step.spikes[0] for step in shown])
        return Window(torch.stack([step.output for step in shown]), (spikes,), state)


WINDOW, TWO = "a window = its steps, with gradients", "two windows = one, with gradients"
LEARNS = "every parameter gets a gradient"
MIX, SMOOTH = "samples do not mix unless declared", "smoothed gradient = finite differences"
TWINS = [
    Twin(WINDOW, ScalesTheWindow, Net),
    Twin(WINDOW, CutsTheWindow, Net),
    Twin(WINDOW, ShowsOtherSpikes, Net),
    Twin(WINDOW, HandsBackAnOlderState, Net),
    Twin("compiled step = step, with gradients", ScalesSingleSteps, Net),
    Twin("a step computed by its layers = the step", SaysAnotherLeak, Net),
    Twin("a step computed by its layers = the step", SaysAnotherSource, Net),
    Twin(TWO, ForgetsBetweenWindows, Net),
    Twin(TWO, ForgetsItsOutput, Net),
    Twin(TWO, DoesNotCountItsSteps, CountsItsSteps),
    Twin("same seed, same weights", DrawnByNumpy, Net),
    Twin("same seed, same weights", WiredByNumpy, Net),
    Twin("another seed, other weights", SeedsTorch, Net),
    Twin(MIX, TakesTheMeanOut, Net),
    Twin(MIX, NormalisesAndSaysNothing, Normalises),
    Twin(LEARNS, HasOneForNothing, Net),
    Twin(LEARNS, DoesNotTrainItsInput, Net),
    Twin(SMOOTH, CutsItsRecurrence, Net),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("networks", twin, monkeypatch)
