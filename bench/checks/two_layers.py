"""Networks of two layers that spike, and the learning signals of each of their steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.checks.spiking import enliven, is_alive
from throughtime.checks.tiny import CLASSES, Gradients, learn, seeded, sequence, supporting
from throughtime.datasets.task import Classification
from throughtime.networks.layer import INPUT
from throughtime.networks.recurrent import Recurrent

STEPS = 30
TASK = Classification(CLASSES)
HIDDEN = [6, 5]


def layered(rule: LearningRule, **options: Any) -> Iterator[tuple[str, Recurrent]]:
    """Yield a network of two layers of each neuron that `supporting` chooses with these options, with input weights
    large enough that both layers spike.

    Raises:
        ValueError: no weights do that.
    """
    for name, network in supporting(rule, STEPS, hidden=HIDDEN, **options):
        enliven(network, sequence(STEPS)[0])
        yield name, network


def require_life(name: str, network: Recurrent) -> None:
    """Raise ValueError if a layer of a spiking network does not spike: every identity holds for zeros."""
    if not is_alive(network, sequence(STEPS)[0]):
        raise ValueError(f"{name}: the network is dead")


def total(rule: LearningRule, network: Recurrent, steps: int = STEPS) -> Gradients:
    """Return a rule's gradient of a sequence of two blocks of steps, after another batch."""
    return learn(rule, network, sequence(steps), after=sequence(steps, 17)).total()


class LayerStep(NamedTuple):
    """One step of one layer, with the graph of this step alone."""

    current: Tensor
    before: Any
    after: Any
    p: Tensor
    """What the synapses read, and 1: [batch, fan-in]."""
    L: Tensor
    """(∂(W_out o_t)/∂o)ᵀ δ_t for the variable o that leaves the layer, [batch, size]."""


def steps_with_signals(network: Recurrent, x: Tensor, target: Tensor) -> Iterator[list[LayerStep]]:
    """Yield the layers' steps of a sequence with a loss at every step; the state before each step is a constant."""
    readout = network.readouts[0]
    with seeded(11):
        initial = network.initial_state(x.shape[1])
    states, y = [*initial.layers], initial.y
    for t, x_t in enumerate(x):
        reads, taken = {INPUT: x_t}, []
        for layer, before in zip(network.layers, states, strict=True):
            current = layer.total_current({**reads, layer.name: before.z}, 0, t)
            reads[layer.name], after = layer.neuron(current, before)
            p = torch.cat((reads[layer.synapses["inward"].reads], before.z, x.new_ones(len(x_t), 1)), 1)
            taken.append((current, before, after, p))
        sent = [after.z for _, _, after, _ in taken[:-1]] + [getattr(taken[-1][2], readout.reads)]
        d = readout.linear(sent[-1])
        y = readout(d, y).detach().requires_grad_()
        (δ,) = torch.autograd.grad(TASK.loss(y, target) / len(x), y)
        L = torch.autograd.grad(d, sent, δ, retain_graph=True)
        yield [LayerStep(*parts, signal) for parts, signal in zip(taken, L, strict=True)]
        states, y = [type(after)(*(s.detach() for s in after)) for _, _, after, _ in taken], y.detach()
