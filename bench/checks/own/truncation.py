"""Identities of BPTT, of its checkpointed, truncated and rolling forms, and of RTRL."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from throughtime.algorithms.base import LearningRule
from throughtime.checks import tiny
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.eligibility import UPDATES_ADD_UP
from throughtime.datasets.task import Classification
from throughtime.numerics.trees import detached
from throughtime.registry import ALGORITHMS, Component


def is_bptt(**options: object) -> Callable[[Component], Observed]:
    """Return a fact's function: the error against the gradient of the whole sequence, for both losses and all tasks."""

    def find(component: Component) -> Observed:
        errors = []
        for loss_at, kind in tiny.LOSS_KINDS:
            task, target = tiny.task_and_target(kind)
            rule = tiny.build(component, loss_at=loss_at, **options)
            for name, network in tiny.supporting(rule):
                total = tiny.learn(rule, network, (tiny.sequence()[0], target), task).total()
                exact = tiny.backprop(network, tiny.sequence()[0], target, task, loss_at)
                errors.append((f"{name}, loss at {loss_at}, {kind}", tiny.error(total, exact)))
        return worst(errors, "no neuron")

    return find


def loss_of_a_window(component: Component) -> Observed:
    """Return the error of the first update with the loss at every step against the gradient of its steps' mean loss."""
    K, errors = 5, []
    x, target = tiny.sequence()
    rule = tiny.build(component, window=K, loss_at="every")
    for name, network in tiny.supporting(rule):
        gradients = tiny.learn(rule, network, (x, target)).gradients
        first = tiny.backprop(network, x[:K], target, Classification(tiny.CLASSES), "every")
        errors.append((name, tiny.error(gradients[0], first)))
        if len(gradients) != -(-tiny.STEPS // K):
            errors.append((f"{name}: {len(gradients)} updates", float("inf")))
    return worst(errors, "no neuron")


def same_updates(first: Callable[[], LearningRule], second: Callable[[], LearningRule]) -> list[tuple[str, float]]:
    """Return the difference of the gradients of each update between two rules, per neuron, while weights move."""
    errors = []
    x, target = tiny.sequence()
    pairs = zip(tiny.supporting(first()), tiny.supporting(second()), strict=True)
    for (name, network), (_, twin) in pairs:
        a = tiny.learn(first(), network, (x, target), rate=0.1).gradients
        b = tiny.learn(second(), twin, (x, target), rate=0.1).gradients
        if len(a) != len(b):
            errors.append((f"{name}: {len(a)} updates and {len(b)}", float("inf")))
        errors += [(name, tiny.error(g, h)) for g, h in zip(a, b, strict=False)]
    return errors


def sums_to_bptt(component: Component) -> Observed:
    """Return the error of the sum of the updates with window ≥ T against T times BPTT's gradient of the mean loss, for
    all tasks, with constant weights."""
    errors = []
    for loss_at, kind in tiny.LOSS_KINDS:
        if loss_at == "every":
            (task, target), rule = tiny.task_and_target(kind), tiny.build(component, window=tiny.STEPS + 5)
            for name, network in tiny.supporting(rule):
                total = tiny.learn(
                    rule, network, (tiny.sequence()[0], target), task, after=(tiny.sequence(seed=17)[0], target)
                ).total()
                exact = tiny.backprop(network, tiny.sequence()[0], target, task, "every")
                errors.append((f"{name}, {kind}", tiny.error(total, [tiny.STEPS * g for g in exact])))
    return worst(errors, "no neuron")


def last_steps_of_each(component: Component) -> Observed:
    """Return the error of each update with a window of 3 steps against autograd of its step's loss through the steps of
    the window, while weights move: the window is computed again from a state that older weights produced."""
    L, rate, errors = 3, 0.05, []
    x, target = tiny.sequence()
    task = Classification(tiny.CLASSES)
    for name, network in tiny.supporting(tiny.build(component, window=L)):
        twin = copy.deepcopy(network)
        updates = tiny.learn(tiny.build(component, window=L), network, (x, target), rate=rate).gradients
        with tiny.seeded(11):
            states = [twin.initial_state(x.shape[1])]
        for t, update in enumerate(updates):
            first = max(0, t + 1 - L)
            state = states[first]
            for x_t in x[first : t + 1]:
                step, state = twin(x_t, state)
            expected = tiny.gradient(task.loss(step.output, target), twin)
            errors.append((f"{name}, step {t}", tiny.error(update, expected)))
            states.append(detached(state))
            with torch.no_grad():
                for p, g in zip((p for p in twin.parameters() if p.requires_grad), expected, strict=True):
                    p.sub_(g, alpha=rate)
        if len(updates) != tiny.STEPS:
            errors.append((f"{name}: {len(updates)} updates", float("inf")))
    return worst(errors, "no neuron")


def one_step_is_tbptt(component: Component) -> Observed:
    """Return the difference of each update with window 1 from that of truncated BPTT with windows of one step."""
    tbptt = ALGORITHMS["tbptt"]
    return worst(
        same_updates(lambda: tiny.build(component, window=1), lambda: tiny.build(tbptt, window=1, loss_at="every")),
        "no neuron",
    )


BPTT = (Fact("= autograd of the unrolled loss", 1e-10, is_bptt()),)
TBPTT = (
    Fact("window ≥ T: = BPTT", 1e-10, is_bptt(window=tiny.STEPS + 5)),
    Fact("loss at every step: its window's mean", 1e-10, loss_of_a_window),
)
ROLLING = (
    Fact("window ≥ T: updates add up to BPTT", 1e-10, sums_to_bptt),
    Fact("each update = autograd through the last L steps", 1e-10, last_steps_of_each),
    Fact("window 1: = truncated BPTT, window 1", 1e-10, one_step_is_tbptt),
)
CHECKPOINTED = (Fact("= BPTT, to rounding", 1e-13, is_bptt()),)
RTRL = (Fact("= BPTT, both losses", 1e-10, is_bptt()), UPDATES_ADD_UP)
