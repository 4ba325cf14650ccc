"""Identities of rules that follow the influence of a synapse: SnAp-n and OSTL."""

from __future__ import annotations

import copy
import math

from throughtime.checks.contract.coordinates import DIFFERENT, exact, independent, keep_ring, recurrent_weights
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.tiny import build, error, learn, sequence, supporting
from throughtime.checks.two_layers import HIDDEN, STEPS, total
from throughtime.registry import ALGORITHMS, Component


def one_step_is_snap1(component: Component) -> Observed:
    """Return the difference of the gradient with n = 1 from that of snap1."""
    errors = []
    for name, network in independent(component):
        ours, theirs = (
            total(rule, network)
            for rule in (build(component, n=1, loss_at="every"), build(ALGORITHMS["snap1"], loss_at="every"))
        )
        errors.append((name, error(ours, theirs)))
    return worst(errors, "no neuron")


def all_of_a_ring(component: Component) -> Observed:
    """Return the error against BPTT on a ring of neurons with n equal to their number; infinite if one less suffices
    to reach them all."""
    errors = []
    for name, network in independent(component):
        for layer in network.layers:
            for R in recurrent_weights(layer):
                keep_ring(R)
        size = network.layers[0].neuron.size
        same, other = (
            error(total(build(component, n=n, loss_at="every"), network), exact(network)) for n in (size, size - 1)
        )
        errors.append((f"{name}, n − 1: {other:.1g}", same if other > DIFFERENT else math.inf))
    return worst(errors, "no neuron")


def without_h_is_diagonal(component: Component) -> Observed:
    """Return the difference of the gradient without H from that of diagonal_rtrl, on two layers."""
    errors = []
    for name, network in supporting(build(component, with_H=False), STEPS, hidden=HIDDEN):
        ours, theirs = (
            total(rule, network)
            for rule in (
                build(component, with_H=False, loss_at="every"),
                build(ALGORITHMS["diagonal_rtrl"], loss_at="every"),
            )
        )
        errors.append((name, error(ours, theirs)))
    return worst(errors, "no neuron")


def is_rtrl_while_weights_move(component: Component) -> Observed:
    """Return the difference of the updates at each step from those of RTRL in one layer: the influence is carried on
    with the present weights. The readout has no memory, in which RTRL would keep its older weights."""
    errors = []
    for name, network in independent(component, readout_tau=0.0):
        twin, options = copy.deepcopy(network), {"loss_at": "every", "update_every": 1}
        ours = learn(build(component, **options), network, sequence(STEPS), rate=0.1).gradients
        exact = learn(ALGORITHMS["rtrl"].factory(**options), twin, sequence(STEPS), rate=0.1).gradients
        errors += [(name, error(a, b)) for a, b in zip(ours, exact, strict=True)]
    return worst(errors, "no neuron")


SNAP_N = (
    Fact("n = 1: = snap1", 1e-10, one_step_is_snap1),
    Fact("a ring, n = number of neurons: = BPTT; n − 1: not", 1e-10, all_of_a_ring),
)
OSTL = (
    Fact("without H, two layers: = diagonal_rtrl", 0, without_h_is_diagonal),
    Fact("one layer, an update at each step: = rtrl", 1e-10, is_rtrl_while_weights_move),
)
