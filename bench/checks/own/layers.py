"""Learning signals through several layers: rules with eligibility traces against their written-out equations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from throughtime.algorithms.eligibility.traces import Traces
from throughtime.checks import tiny
from throughtime.checks.contract.gradient import trained
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.two_layers import HIDDEN, STEPS, TASK, layered, steps_with_signals, total
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import Component

READOUTS: tuple[dict[str, Any], ...] = ({}, {"readout": "membrane", "readout_tau": 0.0})


def written_out(rule: Any, network: Recurrent, x: Tensor, target: Tensor) -> tiny.Gradients:
    """Return Σ_t L_l^t ē_l^t of each layer's W and R, [size, fan-in of both], with a trace per synapse and step."""
    readout = network.readouts[0]
    κ, sends = readout.neuron.decay or 0.0, ["z"] * (len(network.layers) - 1) + [readout.reads]
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
    x, target = tiny.sequence(STEPS)
    errors: list[tuple[str, float]] = []
    for options in READOUTS:
        rule = tiny.build(component, loss_at="every")
        # The second readout changes what is sent and its filter, which are the same for every neuron.
        for name, network in layered(rule, lif_alone=bool(options) and not tiny.every_structure(), **options):
            expected = written_out(rule, network, x, target)
            errors += errors_by_layer(name, network, total(rule, network), expected)
    return worst(errors, "no neuron")


def errors_by_layer(
    name: str, network: Recurrent, total: tiny.Gradients, expected: tiny.Gradients
) -> Iterator[tuple[str, float]]:
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
        trace = torch.cat((*parts[:2], parts[2][:, None]), 1)[:, : e.shape[1]]
        yield f"{name}, layer {n + 1}", tiny.error([trace], [e]) if float(e.abs().max()) > 0 else float("inf")


def one_step_of_layers(component: Component) -> Observed:
    """Return the error against BPTT for one step of two layers, in which no credit crosses time."""
    x, target = tiny.sequence(1)
    x, errors, rule = 4 * x, [], tiny.build(component)
    for name, network in tiny.supporting(rule, 1, hidden=HIDDEN):
        if all(layer.neuron.elementwise for layer in network.layers):
            expected = tiny.backprop(network, x, target, TASK, "end")
            errors.append((name, tiny.error(tiny.learn(rule, network, (x, target)).total(), expected)))
    return worst(errors, "no neuron")


LAYERS = (
    Fact("two layers: = equations with a trace per synapse", 1e-10, through_layers),
    Fact("two layers, one step: = BPTT", 1e-10, one_step_of_layers),
)
