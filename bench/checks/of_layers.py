"""Learning signals through several layers: rules with eligibility traces against their written-out equations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.eligibility.traces import Traces
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.of_gradient import trained
from throughtime.checks.tiny import CLASSES, Gradients, backprop, error, learn, made, seeded, sequence, supporting
from throughtime.datasets.task import Classification
from throughtime.networks.layer import INPUT
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import Component

STEPS = 30
TASK = Classification(CLASSES)
HIDDEN = [6, 5]
READOUTS: tuple[dict[str, Any], ...] = ({}, {"readout": "membrane", "readout_tau": 0.0})


def layered(rule: LearningRule, **options: Any) -> Iterator[tuple[str, Recurrent]]:
    """Yield a network of two layers of each supported neuron, with input weights large enough that both layers spike.

    Raises:
        ValueError: no weights do that.
    """
    for name, network in supporting(rule, STEPS, hidden=HIDDEN, **options):
        for _ in range(20):
            if is_alive(network):
                break
            with torch.no_grad():
                for layer in network.layers:
                    layer.inward.weight.mul_(1.5)
        require_life(name, network)
        yield name, network


def require_life(name: str, network: Recurrent) -> None:
    """Raise ValueError if a layer of a spiking network does not spike: every identity holds for zeros."""
    if not is_alive(network):
        raise ValueError(f"{name}: the network is dead")


def is_alive(network: Recurrent, least: float = 0.05) -> bool:
    """Return whether the neurons of each layer spike at `least` to 95 % of the steps, or are no neurons that spike."""
    x, _ = sequence(STEPS)
    with torch.no_grad(), seeded(11):
        spikes = network.unroll(x, network.initial_state(x.shape[1])).spikes
    return not network.spiking or all(least < float(z.mean()) < 0.95 for z in spikes)


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
            current = layer.current(layer.inward(reads[layer.synapses["inward"].reads]), before.z, t)
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


def written_out(rule: Any, network: Recurrent, x: Tensor, target: Tensor) -> Gradients:
    """Return Σ_t L_l^t ē_l^t of each layer's W and R, [size, fan-in of both], with a trace per synapse and step."""
    readout = network.readouts[0]
    κ, sends = readout.decay or 0.0, ["z"] * (len(network.layers) - 1) + [readout.reads]
    traces = [Traces((field,)) for field in sends]
    ē: list[Any] = [0.0] * len(sends)
    total: list[Any] = [0.0] * len(sends)
    for taken in steps_with_signals(network, x, target):
        for n, (layer, step) in enumerate(zip(network.layers, taken, strict=True)):
            with torch.no_grad():
                partials = rule.partials(layer.neuron, step.current, step.before, step.after)
                ε = traces[n].advance(partials, step.p)["current"][sends[n]]
                ē[n] = κ * ē[n] + (1 - κ) * ε
                L = step.L.unflatten(1, (1, -1))[..., None]
                total[n] = total[n] + (L * ē[n]).sum(0).flatten(0, 1)[:, :-1]
    return total


def through_layers(component: Component) -> Observed:
    """Return the error against the written-out equations on two layers, with spike and membrane readouts."""
    x, target = sequence(STEPS)
    found: list[tuple[str, float]] = []
    for options in READOUTS:
        rule = made(component, loss_at="every")
        for name, network in layered(rule, **options):
            expected = written_out(rule, network, x, target)
            found += of_each_layer(name, network, total(rule, network), expected)
    return worst(found, "no neuron")


def of_each_layer(name: str, network: Recurrent, total: Gradients, expected: Gradients) -> Iterator[tuple[str, float]]:
    """Yield the errors of W and R of each layer, infinite for a layer whose expected gradient is 0.

    Args:
        name: of the network.
        network: the network.
        total: gradients of all its parameters.
        expected: gradients of W and R of each layer, side by side and with or without that of the bias.
    """
    named = dict(zip(trained(network), total, strict=True))
    for n, e in enumerate(expected):
        parts = [named[f"layers.{n}.{part}"] for part in ("inward.weight", "recurrent.weight", "inward.bias")]
        found = torch.cat((*parts[:2], parts[2][:, None]), 1)[:, : e.shape[1]]
        yield f"{name}, layer {n + 1}", error([found], [e]) if float(e.abs().max()) > 0 else float("inf")


def one_step_of_layers(component: Component) -> Observed:
    """Return the error against BPTT for one step of two layers, in which no credit crosses time."""
    x, target = sequence(1)
    x, found, rule = 4 * x, [], made(component)
    for name, network in supporting(rule, 1, hidden=HIDDEN):
        if all(layer.neuron.elementwise for layer in network.layers):
            found.append(
                (name, error(learn(rule, network, (x, target)).total(), backprop(network, x, target, TASK, "end")))
            )
    return worst(found, "no neuron")


LAYERS = (
    Fact("two layers: = equations with a trace per synapse", 1e-10, through_layers),
    Fact("two layers, one step: = BPTT", 1e-10, one_step_of_layers),
)
