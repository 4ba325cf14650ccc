"""What is asked of a network's output: the loss that rules minimise and the metric that tables show."""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class Task(Protocol):
    """Loss and metric of one kind of target. `output` is [n, outputs], `target` has n rows."""

    metric: str
    unit: str
    """Of the metric: `fraction`, or `1` for a pure number."""
    higher_is_better: bool
    chance: float
    """The metric of a network that has learnt nothing but the targets' mean or frequency."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean loss over the n rows, a scalar."""
        ...

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """The metric of each row, [n]; its mean is what is reported."""
        ...


class Classification:
    """One class of `classes` a sequence: cross-entropy on logits, accuracy. `target` is int64 [n]."""

    metric, unit = "accuracy", "fraction"
    higher_is_better = True

    def __init__(self, classes: int) -> None:
        self.classes, self.chance = classes, 1 / classes

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target)

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(1) == target).to(output.dtype)


class Regression:
    """One vector a sequence: mean squared error. `target` is float [n, outputs].

    Args:
        chance: the error of always predicting the mean, i.e. the variance of the target.
    """

    metric, unit = "mse", "1"
    higher_is_better = False

    def __init__(self, chance: float) -> None:
        self.chance = chance

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output, target)

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean(1)
