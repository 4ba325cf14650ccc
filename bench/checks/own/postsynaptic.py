"""Identities of the rules with postsynaptic estimates: with e-prop or OTTT, with BPTT, and with their equations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from throughtime.algorithms.eligibility.traces import Traces
from throughtime.checks import tiny
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.layers import errors_by_layer
from throughtime.checks.own.presynaptic import NO_LEAK, differ, quick_lif
from throughtime.checks.spiking import enliven
from throughtime.checks.two_layers import HIDDEN, STEPS, TASK, require_life, steps_with_signals, total
from throughtime.networks.layer import Layer
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, Component

THREE = [*HIDDEN, 4]
LONG = 64
"""Steps of three blocks: what the first two leave to the second filter is read in the third."""
ALONE = {"otpe": "eprop", "approximate_otpe": "ottt"}
"""The rule that each is on one layer."""


def is_another_on_one_layer(component: Component) -> Observed:
    """Return the difference from e-prop or OTTT on one layer; on two layers they must differ."""
    rule = tiny.build(component, loss_at="every")
    other = ALGORITHMS[ALONE[rule.claims.same_as or component.name]].factory(loss_at="every")
    errors = [
        (name, tiny.error(total(rule, network), total(other, network)))
        for name, network in tiny.supporting(rule, STEPS)
        if other.supports(network, TASK, STEPS) is None
    ]
    two = lively(HIDDEN, readout_tau=0.0)
    return worst([*errors, differ("two layers", total(rule, two), total(other, two))], "no neuron")


def is_bptt_on_two_layers(component: Component) -> Observed:
    """Return the error against BPTT on one and two layers of LIF without recurrent weights, and a readout without a
    leak; on three layers, and for a readout with one, they must differ."""
    rule, errors = tiny.build(component), []
    for options in NO_LEAK:
        for hidden in (HIDDEN[:1], HIDDEN, THREE):
            network = lively(hidden, recurrent_weights=False, **options)
            gradients = total(rule, network), tiny.backprop(network, *tiny.sequence(STEPS), TASK, "every")
            name = f"{len(hidden)} layers, {options.get('readout', 'spikes')}"
            errors.append(differ(name, *gradients) if hidden == THREE else (name, tiny.error(*gradients)))
    leaky = lively(HIDDEN, recurrent_weights=False)
    exact = tiny.backprop(leaky, *tiny.sequence(STEPS), TASK, "every")
    return worst([*errors, differ("leak", total(rule, leaky), exact)], "no neuron")


def is_written_out(component: Component) -> Observed:
    """Return the error against the rule's equations on three layers, each with another leak."""
    rule, (x, target), errors = tiny.build(component), tiny.sequence(LONG), list[tuple[str, float]]()
    for options in ({}, NO_LEAK[1]):
        network = lively(THREE, **options)
        for n, layer in enumerate(network.layers):
            leaks(layer).fill_(0.9 - 0.1 * n)
        require_life("LIF", network)
        expected = written_out(rule, network, x, target)
        errors += errors_by_layer("LIF", network, total(rule, network, LONG), expected)
    return worst(errors, "no neuron")


def written_out(rule: Any, network: Recurrent, x: Tensor, target: Tensor) -> tiny.Gradients:
    """Return Σ_t L^t ē^t or Σ_t (ḡ^t L^t) ⊗ ẑ^t of each layer, [size, fan-in and bias], by recursions of each step."""
    layers, κ = network.layers, network.readouts[0].neuron.decay or 0.0
    last = len(layers) - 1
    sends = ["z"] * last + [network.readouts[0].reads]
    α = [float(leaks(layer)) for layer in layers]
    λ = [rule.decay or leak for leak in α[1:]]
    traces, approximate = [Traces((field,)) for field in sends], rule.coordinates().trace == "presynaptic"
    zeros: list[list[Any]] = [[0.0 for _ in layers] for _ in range(7)]
    R̂, ē, â, ẑ, G, w, sums = zeros
    for taken in steps_with_signals(network, x, target):
        L = taken[last].L * (1 - κ if approximate else 1)
        for n in range(last, -1, -1):
            step, layer = taken[n], layers[n]
            o = getattr(step.after, sends[n])
            (g,) = torch.autograd.grad(o, step.current, torch.ones_like(o), retain_graph=True)
            if n < last:
                G[n], w[n] = λ[n] * G[n] + g, λ[n] * w[n] + 1
                g = G[n] / w[n]
            if approximate:
                â[n] = (rule.decay or α[n]) * â[n] + step.p
                ẑ[n] = λ[n] * ẑ[n] + â[n] if n < last else â[n]
                sums[n] = sums[n] + torch.einsum("bj,bi->ji", L * g, ẑ[n]).detach()
            else:
                with torch.no_grad():
                    partials = rule.partials(layer.neuron, step.current, step.before, step.after)
                    ε = traces[n].advance(partials, step.p)["current"][sends[n]][:, 0]
                    R̂[n] = λ[n] * R̂[n] + ε if n < last else ε
                    ē[n] = κ * ē[n] + (1 - κ) * R̂[n]
                    sums[n] = sums[n] + (L[..., None] * ē[n]).sum(0)
            L = (g * L) @ layer.inward.weight
    return [s.detach() for s in sums]


def leaks(layer: Layer) -> Tensor:
    """Return α of a layer of LIF."""
    neuron: Any = layer.neuron
    α: Tensor = neuron.alpha
    return α


def lively(hidden: list[int], **options: Any) -> Recurrent:
    """Return layers of LIF that spike."""
    network = tiny.recurrent(quick_lif, hidden=hidden, **options)
    enliven(network, tiny.sequence(STEPS)[0])
    return network


ALONE_FACT = Fact("one layer: = the rule that it extends; two: not", 1e-10, is_another_on_one_layer)
EQUATIONS = Fact("three layers: = the written-out traces", 1e-10, is_written_out)
OTPE = (
    ALONE_FACT,
    Fact("two layers of LIF without R: = BPTT; three: not", 1e-10, is_bptt_on_two_layers),
    EQUATIONS,
)
APPROXIMATE_OTPE = (ALONE_FACT, EQUATIONS)
