"""Rules that estimate the influence with random signs: the mean over all signs is BPTT's gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.influence.random_signs import RandomSigns
from throughtime.checks.fact import DoesNotApplyError, Fact, Observed, worst
from throughtime.checks.own.eligibility import UPDATES_ADD_UP
from throughtime.checks.tiny import Gradients, backprop, build, error, learn, seeded, supporting
from throughtime.datasets.task import Regression
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import NEURONS, Component

STEPS, INPUTS, UNITS = 4, 2, 2
TASK = Regression(chance=1.0)
LOSSES: tuple[LossAt, ...] = ("end", "every")


class AllSigns:
    """A substitute for a rule's draws: sample b of a batch gets the binary digits of b, those of a step after those of
    the step before. The signs of the last step have no effect on the sequence.

    Args:
        copies: number of samples.
    """

    def __init__(self, copies: int) -> None:
        self.copies, self.steps, self.digits = copies, 0, 0

    def __call__(self, *shape: int) -> Tensor:
        t, self.digits = self.steps % STEPS, math.prod(shape) // self.copies
        self.steps += 1
        samples = shape.index(self.copies)
        first = t * self.digits if t + 1 < STEPS else 64
        places = (first + torch.arange(self.digits)).clamp(max=62)
        signs = 1 - 2 * (torch.arange(self.copies)[:, None] >> places & 1)
        return signs.view(self.copies, *shape[:samples], *shape[samples + 1 :]).movedim(0, samples)


def mean_is_bptt(component: Component) -> Observed:
    """Return the error of the mean gradient over all sequences of signs, each on a copy of one sequence and after a
    batch before, for both losses.

    Raises:
        DoesNotApplyError: the rule draws no signs, or supports neither LIF nor the rate neuron.
        ValueError: the network is dead, or one sequence of signs alone gives BPTT's gradient.
    """
    if not isinstance(build(component), RandomSigns):
        raise DoesNotApplyError("it draws no signs")
    names = {name for name, _ in supporting(build(component))} & {"lif", "rnn"}
    return worst((error_of_name for name in sorted(names) for error_of_name in errors(component, name)), "no neuron")


def errors(component: Component, neuron: str) -> Iterator[tuple[str, float]]:
    """Yield the error for each loss on a network of two neurons."""
    with seeded(3):
        network = Recurrent(INPUTS, 1, NEURONS[neuron].factory, hidden=[UNITS]).double()
    x = 2 * torch.randn(STEPS, 1, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    target = torch.ones(1, 1, dtype=torch.float64)
    z = torch.stack(network.unroll(x, network.initial_state(1)).spikes)
    if not 0.05 < float(z.detach().abs().mean()) < 0.95:
        raise ValueError(f"{neuron}: the network is dead")

    def total(loss_at: LossAt, signs: AllSigns) -> Gradients:
        rule = build(component, loss_at=loss_at)
        vars(rule)["signs"] = signs  # shadows the method
        many, targets = x.repeat(1, signs.copies, 1), target.repeat(signs.copies, 1)
        return learn(rule, network, (many, targets), TASK, after=(many.flip(0), -targets)).total()

    for loss_at in LOSSES:
        exact = backprop(network, x, target, TASK, loss_at)
        once = AllSigns(1)
        alone = error(total(loss_at, once), exact)
        if alone < 1e-3:
            raise ValueError(f"{neuron}: the gradient does not depend on the signs")
        mean = total(loss_at, AllSigns(2 ** (once.digits * (STEPS - 1))))
        yield f"{neuron}, loss at {loss_at}, one sequence of signs: {alone:.2g}", error(mean, exact)


SIGNS = (Fact("mean over all signs = BPTT", 1e-10, mean_is_bptt), UPDATES_ADD_UP)
