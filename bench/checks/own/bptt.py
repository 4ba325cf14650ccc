"""Identities of BPTT with losses at every step: weights, auxiliary loss, and a backward pass at each step."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F

from throughtime.checks import tiny
from throughtime.checks.contract.cost import is_off_its_formulas
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.fptt import TASK, Scan
from throughtime.checks.own.truncation import BPTT as OF_ANY_LOSS
from throughtime.neurons.alif import ALIF
from throughtime.registry import Component

EACH_STEP: dict[str, Any] = {"loss_at": "every", "backward": "each_step"}
SIZES = (tiny.Size(16, 4, 12), tiny.Size(16, 8, 12), tiny.Size(24, 4, 12), tiny.Size(16, 4, 24), tiny.Size(24, 8, 18))
"""Sizes of the measured runs, whose time grows with the square of the steps."""


def weighted_steps(component: Component) -> Observed:
    """Return the error against autograd of Σ_t w_t l_t, with equal weights or a ramp, over T or not."""
    (x, target), errors = tiny.sequence(), []
    for weights in ("equal", "ramp"):
        for total, share in (("mean", 1 / tiny.STEPS), ("sum", 1.0)):
            network = tiny.recurrent(ALIF)
            with tiny.seeded(11):
                state = network.initial_state(tiny.BATCH)
            E = x.new_zeros(())
            for t, x_t in enumerate(x, 1):
                step, state = network(x_t, state)
                E = E + (t / tiny.STEPS if weights == "ramp" else 1.0) * share * TASK.loss(step.output, target)
            rule = tiny.build(component, loss_at="every", weights=weights, total=total)
            total_gradient = tiny.learn(rule, network, (x, target), after=tiny.sequence(seed=17)).total()
            errors.append((f"{weights}, {total}", tiny.error(total_gradient, tiny.gradient(E, network))))
    return worst(errors, "no loss")


def with_auxiliary_loss(component: Component) -> Observed:
    """Return the error against autograd of Σ_t w_t l_t + (1 − w_t) L_aux,t, where L_aux is uniform in the first epoch,
    then of the table of that epoch."""
    (x, target), errors = tiny.sequence(), []
    network, scanned = tiny.recurrent(ALIF), Scan()
    options = {"weights": "ramp", "total": "sum", "auxiliary": "authors", "auxiliary_uniform_epochs": 1}
    rule = tiny.build(component, loss_at="every", **options)
    with tiny.seeded(11):
        rule.start(network, TASK, tiny.STEPS)
    for when in ("a uniform epoch", "the table of that epoch"):
        recorder = tiny.Recorder(network)
        tiny.train_batch(rule, x, target, recorder)
        rule.end_epoch()
        with tiny.seeded(11):
            state = network.initial_state(tiny.BATCH)
        E = x.new_zeros(())
        for t, x_t in enumerate(x, 1):
            step, state = network(x_t, state)
            y, w = step.output, t / tiny.STEPS
            uniform = -F.log_softmax(y, 1).mean() / tiny.CLASSES
            L_aux = uniform if when == "a uniform epoch" else scanned.loss(y, target, t)
            E = E + w * TASK.loss(y, target) + (1 - w) * L_aux
            scanned.learn(y, target, t)
        errors.append((when, tiny.error(recorder.total(), tiny.gradient(E, network))))
    return worst(errors, "no epoch")


def backward_at_each_step(component: Component) -> Observed:
    """Return the error of the gradient by a backward pass at each step against that by a single one."""
    errors = []
    for weights in ("equal", "ramp"):
        rule = tiny.build(component, weights=weights, **EACH_STEP)
        for name, network in tiny.supporting(rule):
            once = tiny.learn(tiny.build(component, weights=weights, loss_at="every"), network, tiny.sequence()).total()
            at_each_step = tiny.learn(rule, network, tiny.sequence(), after=tiny.sequence(seed=17)).total()
            errors.append((f"{name}, {weights}", tiny.error(at_each_step, once)))
    return worst(errors, "no neuron")


def cost_of_each_step(component: Component) -> Observed:
    return is_off_its_formulas(component, SIZES, **EACH_STEP)


BPTT = (
    *OF_ANY_LOSS,
    Fact("weights and total: = autograd of the weighted sum", 1e-10, weighted_steps),
    Fact("auxiliary loss: = autograd of the weighted sum over all steps", 1e-10, with_auxiliary_loss),
    Fact("backward at each step: = one backward pass", 1e-10, backward_at_each_step),
    Fact("backward at each step: bytes and products as its cost says", 0.15, cost_of_each_step),
)
