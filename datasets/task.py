"""What is asked of a network's output: the loss that rules minimise and the metric that tables show."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Task(Protocol):
    """Loss and metric of one kind of target. `output` is [n, outputs], `target` has n rows.

    A target is one a sequence, asked for at the end; or, of a task that is `per_step`, one a step, and then rows may
    ask nothing: steps without a label, and padding.
    """

    metric: str
    unit: str
    """Of the metric: `fraction`, or `1` for a pure number."""
    higher_is_better: bool
    chance: float
    """The metric of a network that has learnt nothing but the targets' mean or frequency."""
    per_step: bool
    """Whether there is a target at every step."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean loss over the n rows, a scalar; a row that asks nothing counts as 0, so that the losses of single steps
        add up to that of the whole."""
        ...

    def asked(self, target: Tensor) -> Tensor:
        """Which rows ask something, bool [n]: the metric is over those."""
        ...

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric of each row, [n]; its mean is what is reported."""
        ...


class Classification:
    """One class of `classes`: cross-entropy on logits, accuracy. `target` is int64 [n], −1 where nothing is asked.

    Args:
        classes: how many.
        per_step: whether there is one at every step.
        chance: the accuracy of a network that has learnt nothing; None: 1 / classes.
    """

    metric, unit = "accuracy", "fraction"
    higher_is_better = True

    def __init__(self, classes: int, per_step: bool = False, chance: float | None = None) -> None:
        self.classes, self.per_step = classes, per_step
        self.chance = 1 / classes if chance is None else chance

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        log_p = F.log_softmax(output.t(), 0).t()  # down columns: along short rows it takes four times as long
        if not self.per_step:
            return F.nll_loss(log_p, target)
        return F.nll_loss(log_p, target, ignore_index=-1, reduction="sum") / len(target)

    def asked(self, target: Tensor) -> Tensor:
        return target != -1

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(1) == target).to(output.dtype)


class Regression:
    """One vector: mean squared error. `target` is float [n, outputs], NaN where nothing is asked.

    Args:
        chance: the error of always predicting the mean, i.e. the variance of the target.
        per_step: whether there is one at every step.
    """

    metric, unit = "mse", "1"
    higher_is_better = False

    def __init__(self, chance: float, per_step: bool = False) -> None:
        self.chance, self.per_step = chance, per_step

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        if self.per_step:
            target = torch.where(target.isnan(), output.detach(), target)
        return F.mse_loss(output, target)

    def asked(self, target: Tensor) -> Tensor:
        return ~target.isnan().any(1)

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean(1)
