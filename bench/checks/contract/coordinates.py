"""Identities between rules that follow from their coordinates: how far they follow the influence of a synapse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.algorithms.coordinates import Coordinates
from throughtime.checks import spiking, tiny
from throughtime.checks.contract.gradient import trained
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.two_layers import HIDDEN, STEPS, steps_with_signals, total
from throughtime.datasets.task import Classification
from throughtime.networks.layer import Layer
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, Component

TASK = Classification(tiny.CLASSES)
DIFFERENT = 1e-8
"""Smallest error of gradients that count as different."""
SMALLEST_RATE = 0.02
"""Smallest share of steps with a spike, as drawn, in each layer of a network that counts."""


def facts(coordinates: Coordinates | None) -> tuple[Fact, ...]:
    """Return the facts that apply to a rule with these coordinates."""
    if coordinates is None or coordinates.signal != "instantaneous" or coordinates.trace != "block":
        return ()
    alone = Fact("R = 0: = BPTT; R as drawn: not", 1e-10, is_bptt_without_recurrence)
    return {
        "own neuron": (alone,),
        "autapse": (alone, Fact("diag(R) = 0: = diagonal_rtrl; R as drawn: not", 1e-10, differs_by_the_diagonal)),
        "n steps": (Fact("dense R: = BPTT; a ring: not", 1e-10, is_bptt_if_dense),),
        "layer": (
            Fact("one layer: = BPTT; two layers: not", 1e-10, is_bptt_in_one_layer),
            Fact("two layers: = autograd inside each layer", 1e-10, is_autograd_inside_layers),
        ),
    }.get(coordinates.scope, ())


def exact(network: Recurrent) -> tiny.Gradients:
    """Return BPTT's gradient of the same sequence."""
    return tiny.backprop(network, *tiny.sequence(STEPS), TASK, "every")


def independent(component: Component, **options: Any) -> Iterator[tuple[str, Recurrent]]:
    """Yield networks that are alive, of the supported neurons that depend on each other through synapses alone."""
    for name, network in tiny.supporting(tiny.build(component), STEPS, **options):
        is_alive = spiking.is_alive(network, tiny.sequence(STEPS)[0], SMALLEST_RATE)
        if is_alive and all(layer.neuron.elementwise for layer in network.layers):
            yield name, network


def recurrent_weights(layer: Layer) -> Iterator[Tensor]:
    """Yield R of each current of a layer, [size, size], as views of its weights."""
    for synapse in layer.synapses.values():
        if synapse.reads == layer.name and isinstance(synapse.module, nn.Linear):
            yield from synapse.module.weight.detach().unflatten(0, (layer.neuron.currents, layer.neuron.size))


def two_halves(
    pairs: Iterator[tuple[str, Recurrent]],
    change: Callable[[Tensor], object],
    errors: Callable[[Recurrent], float],
    equal_first: bool = False,
) -> Observed:
    """Return the largest error on networks in one of two states of R, infinite where the error in the other state is
    that of equal gradients.

    Args:
        pairs: names and networks with R as drawn.
        change: changes R of one current in place.
        errors: returns the error of two gradients on a network.
        equal_first: whether the gradients are equal with R as drawn, and differ when it is changed.
    """
    values = []
    for name, network in pairs:
        drawn = errors(network)
        for layer in network.layers:
            for R in recurrent_weights(layer):
                change(R)
        same, other = (drawn, errors(network)) if equal_first else (errors(network), drawn)
        values.append((f"{name}, otherwise {other:.1g}", same if other > DIFFERENT else math.inf))
    return worst(values, "no neuron")


def error_against_bptt(component: Component, network: Recurrent) -> float:
    return tiny.error(total(tiny.build(component, loss_at="every"), network), exact(network))


def is_bptt_without_recurrence(component: Component) -> Observed:
    return two_halves(independent(component), Tensor.zero_, partial(error_against_bptt, component))


def differs_by_the_diagonal(component: Component) -> Observed:
    diagonal = ALGORITHMS["diagonal_rtrl"]

    def errors(network: Recurrent) -> float:
        gradient, reference = (total(tiny.build(which, loss_at="every"), network) for which in (component, diagonal))
        return tiny.error(gradient, reference)

    x, _ = tiny.sequence(STEPS)
    pairs = tiny.supporting(tiny.build(component), STEPS)
    alive = (pair for pair in pairs if spiking.is_alive(pair[1], x, SMALLEST_RATE))
    return two_halves(alive, lambda R: R.fill_diagonal_(0.0), errors)


def is_bptt_if_dense(component: Component) -> Observed:
    return two_halves(independent(component), keep_ring, partial(error_against_bptt, component), equal_first=True)


def keep_ring(R: Tensor) -> None:
    """Keep only the synapses from each neuron to the next one, in place."""
    R.mul_(torch.eye(len(R), dtype=R.dtype).roll(1, 0))


def is_bptt_in_one_layer(component: Component) -> Observed:
    rule, values = tiny.build(component, loss_at="every"), []
    single = dict(independent(component))
    for name, two in independent(component, hidden=HIDDEN):
        if name not in single:
            continue
        other = tiny.error(total(rule, two), exact(two))
        same = tiny.error(total(rule, single[name]), exact(single[name]))
        values.append((f"{name}, two layers {other:.1g}", same if other > DIFFERENT else math.inf))
    return worst(values, "no neuron")


def is_autograd_inside_layers(component: Component) -> Observed:
    """Return the error of the gradients of W and R of each of two layers against autograd of Σ_t L_l^t · ō_l^t: the
    layer alone, with its input and its learning signals as constants, and ō the filter of the readout on its output."""
    x, target = tiny.sequence(STEPS)
    values = []
    for name, network in independent(component, hidden=HIDDEN):
        names, found_by_rule = trained(network), total(tiny.build(component, loss_at="every"), network)
        by_rule = dict(zip(names, found_by_rule, strict=True))
        steps, κ = list(steps_with_signals(network, x, target)), network.readouts[0].neuron.decay or 0.0
        for n, layer in enumerate(network.layers):
            state, ō, E = steps[0][n].before, x.new_zeros(()), x.new_zeros(())
            for t, taken in enumerate(steps):
                sources = {layer.synapses["inward"].reads: taken[n].p[:, : layer.inward.in_features]}
                z, state = layer.neuron(layer.total_current({**sources, layer.name: state.z}, 0, t), state)
                ō = κ * ō + (1 - κ) * z
                E = E + (taken[n].L * ō).sum()
            expected = dict(zip(names, tiny.gradient(E, network), strict=True))
            which = [f"layers.{n}.{synapse}.weight" for synapse in ("inward", "recurrent")]
            values.append(
                (f"{name}, layer {n + 1}", tiny.error([by_rule[w] for w in which], [expected[w] for w in which]))
            )
    return worst(values, "no neuron")
