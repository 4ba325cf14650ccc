"""Presynaptic traces through a network with a convolution, a skip connection and recurrent weights."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.presynaptic_trace import OTTT, SLTT, PPProp
from throughtime.checks.tiny import BATCH, CLASSES, error, gradient, learn, seeded
from throughtime.datasets.task import Classification
from throughtime.networks.base import Network, Step, Window
from throughtime.networks.layer import INPUT, Layer, RecurrentState, Synapse
from throughtime.networks.readout import Readout
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.neurons.lif import LIF
from throughtime.numerics.trees import detached

STEPS, α = 30, 0.6  # two blocks of steps
TASK = Classification(CLASSES)


class Image(Network):
    """A convolution into LIF neurons, then recurrent LIF neurons that read them and the image."""

    def __init__(self) -> None:
        super().__init__()
        tau = -1 / torch.tensor(α).log().item()
        self.conv, self.maps = nn.Conv2d(1, 2, 3, padding=1), LIF((2, 4, 4), tau=tau)
        self.up, self.skip = (nn.Sequential(nn.Flatten(), nn.Linear(n, 5)) for n in (32, 16))
        self.R, self.cells = nn.Linear(5, 5, bias=False), LIF(5, tau=tau)
        self.out = Readout(5, CLASSES, "z", partial(LeakyIntegrator, decay=0.0), layer="cells")
        upper = {"up": Synapse(self.up, "maps"), "skip": Synapse(self.skip, INPUT), "back": Synapse(self.R, "cells")}
        self.layers = [Layer("maps", self.maps, {"conv": Synapse(self.conv, INPUT)}), Layer("cells", self.cells, upper)]
        self.readouts = [self.out]

    def initial_state(self, batch: int) -> RecurrentState:
        like = self.R.weight
        states = tuple(neuron.initial_state(batch, like) for neuron in (self.maps, self.cells))
        return RecurrentState(states, like.new_zeros(batch, CLASSES), 0)

    def forward(self, x: Tensor, state: RecurrentState) -> tuple[Step, RecurrentState]:
        z1, maps = self.maps(self.conv(x), state.layers[0])
        z2, cells = self.cells(self.up(z1) + self.skip(x) + self.R(state.layers[1].z), state.layers[1])
        y = self.out(self.out.linear(z2), state.y)
        return Step(y, (z1, z2)), RecurrentState((maps, cells), y, state.t + 1)

    def unroll(self, x: Tensor, state: RecurrentState) -> Window:
        steps = []
        for x_t in x:
            step, state = self(x_t, state)
            steps.append(step)
        spikes = tuple(torch.stack(z) for z in zip(*(step.spikes for step in steps), strict=True))
        return Window(torch.stack([step.output for step in steps]), spikes, state)


@pytest.fixture
def image() -> tuple[Image, Tensor, Tensor]:
    with seeded(3):
        return Image().double(), 2 * torch.randn(STEPS, BATCH, 1, 4, 4).double(), torch.randint(CLASSES, (BATCH,))


def test_sltt_is_autograd_within_each_step(image):
    network, x, target = image
    state, losses, spikes = network.initial_state(BATCH), [], []
    for x_t in x:
        step, state = network(x_t, detached(state))
        losses.append(TASK.loss(step.output, target))
        spikes.append(step.spikes)
    assert all(0.05 < torch.stack(z).detach().mean() < 0.95 for z in zip(*spikes, strict=True))
    expected = gradient(torch.stack(losses).mean(), network)
    assert error(learn(SLTT(), network, (x, target)).total(), expected) < 1e-12


def test_ottt_filters_what_the_convolution_reads(image):
    """The gradient of the convolution is its vector-Jacobian product at the trace â of the image, and that of its bias
    at the trace of 1; the learning signals are those of each step."""
    network, x, target = image
    named = dict(zip(dict(network.named_parameters()), learn(OTTT(), network, (x, target)).total(), strict=True))
    W, b = torch.zeros_like(network.conv.weight), torch.zeros_like(network.conv.bias)
    state, â, bias_trace = network.initial_state(BATCH), torch.zeros_like(x[0]), 0.0
    for x_t in x:
        â, bias_trace, before = α * â + x_t, α * bias_trace + 1, detached(state)
        I = network.conv(x_t).detach().requires_grad_()
        z1, maps = network.maps(I, before.layers[0])
        _, cells = network.cells(network.up(z1) + network.skip(x_t) + network.R(before.layers[1].z), before.layers[1])
        state = RecurrentState((maps, cells), before.y, 0)
        (δI,) = torch.autograd.grad(TASK.loss(network.out.linear(cells.z), target) / STEPS, I)
        by_W, by_b = torch.autograd.grad(network.conv(â), [network.conv.weight, network.conv.bias], δI)
        W, b = W + by_W, b + bias_trace * by_b
    assert error([named["conv.weight"], named["conv.bias"]], [W, b]) < 1e-6  # τ is a number of 32 bits
    assert float(W.abs().max()) > 0


def test_what_has_a_trace_for_each_neuron_declines_images(image):
    assert "linear maps into a vector" in EProp().supports(image[0], TASK, STEPS)
    assert "a vector of neurons" in PPProp().supports(image[0], TASK, STEPS)
