"""Identities between rules that follow from their coordinates: how far they follow the influence of a synapse."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.algorithms.coordinates import Coordinates
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.of_gradient import trained
from throughtime.checks.of_layers import HIDDEN, STEPS, is_alive, steps_with_signals, total
from throughtime.checks.tiny import (
    CLASSES,
    Gradients,
    backprop,
    error,
    gradient,
    learn,
    made,
    sequence,
    supporting,
)
from throughtime.datasets.task import Classification
from throughtime.networks.layer import Layer
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, Component

TASK = Classification(CLASSES)
DIFFERENT = 1e-8
"""Smallest error of gradients that count as different."""
LEAST = 0.02
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


def exact(network: Recurrent) -> Gradients:
    """Return BPTT's gradient of the same sequence."""
    return backprop(network, *sequence(STEPS), TASK, "every")


def independent(component: Component, **options: Any) -> Iterator[tuple[str, Recurrent]]:
    """Yield networks that are alive, of the supported neurons that depend on each other through synapses alone."""
    for name, network in supporting(made(component), STEPS, **options):
        if all(layer.neuron.elementwise for layer in network.layers) and is_alive(network, LEAST):
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
    found = []
    for name, network in pairs:
        drawn = errors(network)
        for layer in network.layers:
            for R in recurrent_weights(layer):
                change(R)
        same, other = (drawn, errors(network)) if equal_first else (errors(network), drawn)
        found.append((f"{name}, otherwise {other:.1g}", same if other > DIFFERENT else math.inf))
    return worst(found, "no neuron")


def is_bptt_without_recurrence(component: Component) -> Observed:
    def errors(network: Recurrent) -> float:
        return error(total(made(component, loss_at="every"), network), exact(network))

    return two_halves(independent(component), Tensor.zero_, errors)


def differs_by_the_diagonal(component: Component) -> Observed:
    diagonal = ALGORITHMS["diagonal_rtrl"]

    def errors(network: Recurrent) -> float:
        one, other = (total(made(which, loss_at="every"), network) for which in (component, diagonal))
        return error(one, other)

    alive = (pair for pair in supporting(made(component), STEPS) if is_alive(pair[1], LEAST))
    return two_halves(alive, lambda R: R.fill_diagonal_(0.0), errors)


def is_bptt_if_dense(component: Component) -> Observed:
    def errors(network: Recurrent) -> float:
        return error(total(made(component, loss_at="every"), network), exact(network))

    return two_halves(independent(component), keep_ring, errors, equal_first=True)


def keep_ring(R: Tensor) -> None:
    """Keep only the synapses from each neuron to the next one, in place."""
    R.mul_(torch.eye(len(R), dtype=R.dtype).roll(1, 0))


def is_bptt_in_one_layer(component: Component) -> Observed:
    rule, found = made(component, loss_at="every"), []
    single = dict(independent(component))
    for name, two in independent(component, hidden=HIDDEN):
        if name not in single:
            continue
        other = error(total(rule, two), exact(two))
        same = error(total(rule, single[name]), exact(single[name]))
        found.append((f"{name}, two layers {other:.1g}", same if other > DIFFERENT else math.inf))
    return worst(found, "no neuron")


def is_autograd_inside_layers(component: Component) -> Observed:
    """Return the error of the gradients of W and R of each of two layers against autograd of Σ_t L_l^t · ō_l^t: the
    layer alone, with its input and its learning signals as constants, and ō the filter of the readout on its output."""
    x, target = sequence(STEPS)
    found = []
    for name, network in independent(component, hidden=HIDDEN):
        names, found_by_rule = trained(network), total(made(component, loss_at="every"), network)
        by_rule = dict(zip(names, found_by_rule, strict=True))
        steps, κ = list(steps_with_signals(network, x, target)), network.readouts[0].decay or 0.0
        for n, layer in enumerate(network.layers):
            state, ō, E = steps[0][n].before, x.new_zeros(()), x.new_zeros(())
            for t, taken in enumerate(steps):
                read = taken[n].p[:, : layer.inward.in_features]
                z, state = layer.neuron(layer.current(layer.inward(read), state.z, t), state)
                ō = κ * ō + (1 - κ) * z
                E = E + (taken[n].L * ō).sum()
            expected = dict(zip(names, gradient(E, network), strict=True))
            which = [f"layers.{n}.{synapse}.weight" for synapse in ("inward", "recurrent")]
            found.append((f"{name}, layer {n + 1}", error([by_rule[w] for w in which], [expected[w] for w in which])))
    return worst(found, "no neuron")


def one_step_is_snap1(component: Component) -> Observed:
    """Return the difference of the gradient with n = 1 from that of snap1."""
    found = []
    for name, network in independent(component):
        one, other = (
            total(rule, network)
            for rule in (made(component, n=1, loss_at="every"), made(ALGORITHMS["snap1"], loss_at="every"))
        )
        found.append((name, error(one, other)))
    return worst(found, "no neuron")


def all_of_a_ring(component: Component) -> Observed:
    """Return the error against BPTT on a ring of neurons with n equal to their number; infinite if one less suffices
    to reach them all."""
    found = []
    for name, network in independent(component):
        for layer in network.layers:
            for R in recurrent_weights(layer):
                keep_ring(R)
        size = network.layers[0].neuron.size
        same, other = (
            error(total(made(component, n=n, loss_at="every"), network), exact(network)) for n in (size, size - 1)
        )
        found.append((f"{name}, n − 1: {other:.1g}", same if other > DIFFERENT else math.inf))
    return worst(found, "no neuron")


def without_h_is_diagonal(component: Component) -> Observed:
    """Return the difference of the gradient without H from that of diagonal_rtrl, on two layers."""
    found = []
    for name, network in supporting(made(component, with_H=False), STEPS, hidden=HIDDEN):
        one, other = (
            total(rule, network)
            for rule in (
                made(component, with_H=False, loss_at="every"),
                made(ALGORITHMS["diagonal_rtrl"], loss_at="every"),
            )
        )
        found.append((name, error(one, other)))
    return worst(found, "no neuron")


def is_rtrl_while_weights_move(component: Component) -> Observed:
    """Return the difference of the updates at each step from those of RTRL in one layer: the influence is carried on
    with the present weights. The readout has no memory, in which RTRL would keep its older weights."""
    found = []
    for name, network in independent(component, readout_tau=0.0):
        twin, each = copy.deepcopy(network), {"loss_at": "every", "update_every": 1}
        ours = learn(made(component, **each), network, sequence(STEPS), rate=0.1).gradients
        exact = learn(ALGORITHMS["rtrl"].factory(**each), twin, sequence(STEPS), rate=0.1).gradients
        found += [(name, error(a, b)) for a, b in zip(ours, exact, strict=True)]
    return worst(found, "no neuron")


SNAP_N = (
    Fact("n = 1: = snap1", 1e-10, one_step_is_snap1),
    Fact("a ring, n its neurons: = BPTT; n − 1: not", 1e-10, all_of_a_ring),
)
OSTL = (
    Fact("without H, two layers: = diagonal_rtrl", 0, without_h_is_diagonal),
    Fact("one layer, an update at each step: = rtrl", 1e-10, is_rtrl_while_weights_move),
)
