"""Identities of BPTT, truncated BPTT and RTRL."""

from __future__ import annotations

from collections.abc import Callable

from throughtime.algorithms.base import LearningRule
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.tiny import ASKED, CLASSES, STEPS, asked, backprop, error, learn, made, sequence, supporting
from throughtime.datasets.task import Classification
from throughtime.registry import Component

LOSSES = ("end", "every")


def is_bptt(**options: object) -> Callable[[Component], Observed]:
    """Return a fact's function: the error against the gradient of the whole sequence, for both losses and all tasks."""

    def find(component: Component) -> Observed:
        found = []
        for loss_at, kind in ASKED:
            task, target = asked(kind)
            rule = made(component, loss_at=loss_at, **options)
            for name, network in supporting(rule):
                total = learn(rule, network, sequence()[0], target, task).total()
                exact = backprop(network, sequence()[0], target, task, loss_at)
                found.append((f"{name}, loss at {loss_at}, {kind}", error(total, exact)))
        return worst(found, "no neuron")

    return find


def loss_of_a_window(component: Component) -> Observed:
    """Return the error of the first update with the loss at every step against the gradient of its steps' mean loss."""
    K, found = 5, []
    x, target = sequence()
    rule = made(component, window=K, loss_at="every")
    for name, network in supporting(rule):
        gradients = learn(rule, network, x, target).gradients
        first = backprop(network, x[:K], target, Classification(CLASSES), "every")
        found.append((name, error(gradients[0], first)))
        if len(gradients) != -(-STEPS // K):
            found.append((f"{name}: {len(gradients)} updates", float("inf")))
    return worst(found, "no neuron")


def same_updates(one: Callable[[], LearningRule], other: Callable[[], LearningRule]) -> list[tuple[str, float]]:
    """Return the difference of the gradients of each update between two rules, per neuron, while weights move."""
    found = []
    x, target = sequence()
    pairs = zip(supporting(one()), supporting(other()), strict=True)
    for (name, network), (_, twin) in pairs:
        a = learn(one(), network, x, target, rate=0.1).gradients
        b = learn(other(), twin, x, target, rate=0.1).gradients
        if len(a) != len(b):
            found.append((f"{name}: {len(a)} updates and {len(b)}", float("inf")))
        found += [(name, error(g, h)) for g, h in zip(a, b, strict=False)]
    return found


BPTT = (Fact("= autograd of the unrolled loss", 1e-10, is_bptt()),)
TBPTT = (
    Fact("window ≥ T: = BPTT", 1e-10, is_bptt(window=STEPS + 5)),
    Fact("loss at every step: its window's mean", 1e-10, loss_of_a_window),
)
RTRL = (Fact("= BPTT, both losses", 1e-10, is_bptt()),)
