"""Identities of the rules with presynaptic traces: among them, with e-prop, and with their written-out equations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb, inf
from typing import Any

import torch
from torch import Tensor

from throughtime.checks import tiny
from throughtime.checks.fact import DoesNotApplyError, Fact, Observed, worst
from throughtime.checks.own.layers import errors_by_layer
from throughtime.checks.two_layers import HIDDEN, STEPS, layered, require_life, steps_with_signals, total
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron
from throughtime.neurons.lif import LIF
from throughtime.numerics.trees import detached
from throughtime.registry import ALGORITHMS, NEURONS, Component

TASK = Classification(tiny.CLASSES)
NO_LEAK: tuple[dict[str, Any], ...] = ({"readout_tau": 0.0}, {"readout": "membrane", "readout_tau": 0.0})
APART = 1e-3
"""Smallest relative difference of two gradients that must differ."""


def options_of(component: Component) -> set[str]:
    return {*component.options.model_fields}


def differ(name: str, ours: tiny.Gradients, theirs: tiny.Gradients) -> tuple[str, float]:
    """Return 0 for gradients that differ, as they must, else infinity."""
    return name, 0.0 if tiny.error(ours, theirs) > APART else inf


# --- λ = 0


def is_within_steps(component: Component) -> Observed:
    """Return the error of the rule with λ = 0 against the sum of the gradients within each step, the state before which
    is a constant; and against a longer window, from which it must differ."""
    rule = tiny.build(component, **({"decay": 0.0} if "decay" in options_of(component) else {}))
    stated = rule.coordinates()
    if stated is None or stated.recursion != "none":
        raise DoesNotApplyError("its recursion is not none")
    errors = []
    for options in NO_LEAK:
        for name, network in layered(rule, **options):
            if stated.trace == "rank one" and not network.layers[0].neuron.elementwise:
                continue  # the postsynaptic trace is the diagonal of the Jacobian within the step
            ours = total(rule, network)
            errors.append((name, tiny.error(ours, within_windows(network, 1))))
            if name == "lif":
                errors.append(differ(f"{name}: windows of two steps", ours, within_windows(network, 2)))
    return worst(errors, "no neuron")


def within_windows(network: Recurrent, length: int) -> tiny.Gradients:
    """Return Σ_p ∂E_p/∂W over windows of this length, with a constant state before each; E is the mean over all
    steps."""
    x, target = tiny.sequence(STEPS)
    with tiny.seeded(11):
        state, losses = network.initial_state(len(target)), []
    for t, x_t in enumerate(x):
        step, state = network(x_t, detached(state) if t % length == 0 else state)
        losses.append(TASK.loss(step.output, target))
    return tiny.gradient(torch.stack(losses).mean(), network)


# --- λ = α


def quick_lif(size: int) -> LIF:
    """Return LIF neurons that spike in every layer."""
    return LIF(size, tau=5.0)


def is_eprop_on_lif(component: Component) -> Observed:
    """Return the error of the rule with the membrane's leak as λ against e-prop, on LIF with a readout without a leak:
    LIF has no other memory, and its gradient does not pass the reset. They must differ for another λ, for a readout
    with a leak, and on ALIF. Without recurrent weights one layer equals BPTT; with them it must differ."""
    causal = {"noncausal": 0.0, "causal": 1.0} if "noncausal" in options_of(component) else {}
    rule, other = tiny.build(component, decay=None, **causal), tiny.build(component, decay=0.5, **causal)
    eprop, errors = ALGORITHMS["eprop"].factory(loss_at="every"), []
    for options in NO_LEAK:
        for hidden in (HIDDEN, HIDDEN[:1]):
            network = tiny.recurrent(quick_lif, hidden=hidden, **options)
            name, expected = f"{len(hidden)} layers, {options.get('readout', 'spikes')}", total(eprop, network)
            errors.append((name, tiny.error(total(rule, network), expected)))
            errors.append(differ(f"{name}, λ = 0.5", total(other, network), expected))
            require_life(name, network)
    for name, network in (
        ("ALIF", tiny.recurrent(NEURONS["alif"], readout_tau=0.0)),
        ("leak", tiny.recurrent(quick_lif)),
    ):
        errors.append(differ(name, total(rule, network), total(eprop, network)))
    for factor, compare in ((1.0, differ), (0.0, lambda name, a, b: (name, tiny.error(a, b)))):
        network = tiny.recurrent(quick_lif, readout_tau=0.0)
        R = network.layers[0].recurrent.weight
        with torch.no_grad():
            R.mul_(factor)
        R.requires_grad_(False)
        exact = tiny.backprop(network, *tiny.sequence(STEPS), TASK, "every")
        errors.append(compare(f"BPTT, R × {factor:g}", total(rule, network), exact))
    return worst(errors, "no neuron")


# --- samples of steps


def mean_of_samples(component: Component) -> Observed:
    """Return the error of the mean over all choices of k of T steps, times T/k, against all steps; with `unbiased` the
    mean itself. Single choices must differ from it."""
    T, k = 5, 2
    if "sampled_steps" not in options_of(component):
        raise DoesNotApplyError("it learns from all steps")
    errors: list[tuple[str, float]] = []
    for name, network in tiny.supporting(tiny.build(component), T):
        every = total(tiny.build(component), network, T)
        for unbiased in (False, True):
            gradients = []
            for steps in combinations(range(T), k):
                rule = tiny.build(component, sampled_steps=k, unbiased=unbiased)
                vars(rule)["drawn_steps"] = lambda k, steps=steps: torch.tensor(steps)  # shadows the method
                gradients.append(total(rule, network, T))
            mean = [
                torch.stack(g).sum(0) / comb(T, k) * (1 if unbiased else T / k) for g in zip(*gradients, strict=True)
            ]
            errors.append((name, tiny.error(mean, every)))
            errors += [differ(f"{name}: a choice of steps", g, every) for g in gradients]
    return worst(errors, "no neuron")


# --- written-out equations


def is_written_out(component: Component) -> Observed:
    """Return the error against the rule's equations, with a sum over steps, neurons and inputs, on two layers."""
    rule, x, target = tiny.build(component), *tiny.sequence(STEPS)
    errors: list[tuple[str, float]] = []
    for options in ({}, NO_LEAK[1]):
        for name, network in layered(rule, **options):
            if network.layers[0].neuron.elementwise and network.layers[0].neuron.currents == 1:
                expected = written_out(rule, network, x, target)
                errors += errors_by_layer(name, network, total(rule, network), expected)
    return worst(errors, "no neuron")


def written_out(rule: Any, network: Recurrent, x: Tensor, target: Tensor) -> tiny.Gradients:
    """Return Σ_t c^t ⊗ a^t of each layer, [size, fan-in and bias]; c and a by scalar recursions of each step."""
    readout, layers = network.readouts[0], network.layers
    sends = ["z"] * (len(layers) - 1) + [readout.reads]
    λ = [rule.decay_of(layer.neuron) for layer in layers]
    a, posts = [0.0 for _ in layers], [postsynaptic(rule, layer.neuron) for layer in layers]
    sums: list[Any] = [0.0 for _ in layers]
    for taken in steps_with_signals(network, x, target):
        for n, step in enumerate(taken):
            L = (1 - (readout.neuron.decay or 0.0)) * step.L
            o = getattr(step.after, sends[n])
            (ψ,) = torch.autograd.grad(o, step.current, torch.ones_like(o), retain_graph=True)
            a[n] = λ[n] * a[n] + step.p
            for c, pre in posts[n](step, sends[n], ψ, L):
                sums[n] = sums[n] + torch.einsum("bj,bi->ji", c, a[n] if pre == "trace" else step.p).detach()
    return sums


def postsynaptic(rule: Any, neuron: Neuron) -> Any:
    """Return a function of a step that yields the factors c of the rule and what they multiply, `trace` or `input`."""
    traces: dict[str, Any] = {}

    def plain(step: Any, sends: str, ψ: Tensor, L: Tensor) -> Iterator[tuple[Tensor, str]]:
        yield L * ψ, "trace"

    def paired(step: Any, sends: str, ψ: Tensor, L: Tensor) -> Iterator[tuple[Tensor, str]]:
        yield rule.causal * L * ψ, "trace"
        b = traces.get("b", torch.zeros_like(ψ))
        yield rule.noncausal * L * b, "input"
        traces["b"] = rule.post_decay * b + ψ

    def averaged(step: Any, sends: str, ψ: Tensor, L: Tensor) -> Iterator[tuple[Tensor, str]]:
        ε = {}
        diagonal = ALGORITHMS["diagonal_rtrl"].factory()
        total = diagonal.partials(neuron, step.current.detach(), step.before, step.after)
        for s in step.after._fields:
            by_current = total.inflows["current"].by_input.get(s)
            ε[s] = (1 - rule.decay) * (0.0 if by_current is None else by_current[:, 0]) + sum(
                rule.decay * J * traces.get(r, 0.0) for (q, r), J in total.from_previous.items() if q == s
            )
        traces.update(ε)
        yield L * ε[sends], "trace"

    if rule.coordinates().trace == "rank one":
        return averaged
    return paired if hasattr(rule, "noncausal") else plain


WITHIN = Fact("λ = 0: = autograd within each step", 1e-10, is_within_steps)
EPROP = Fact("λ = α on LIF: = e-prop; without R: = BPTT", 1e-10, is_eprop_on_lif)
SAMPLES = Fact("mean over all samples of steps = all steps", 1e-10, mean_of_samples)
EQUATIONS = Fact("two layers: = the written-out traces", 1e-10, is_written_out)
PRESYNAPTIC_TRACE = (WITHIN, EPROP, SAMPLES, EQUATIONS)
SLTT = (WITHIN, SAMPLES)
OTTT = (WITHIN, EPROP, EQUATIONS)
S_TLLR = (EPROP, EQUATIONS)
PP_PROP = (WITHIN, EQUATIONS)
