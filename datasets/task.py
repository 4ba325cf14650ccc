"""Tasks: the loss that rules minimise and the metrics that tables show."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from throughtime.numerics.trees import Tree


class Metric(NamedTuple):
    """A measure of the performance of a network on a task."""

    name: str
    """Name of the metric in records and tables."""
    unit: str
    """`fraction`, or `1` for a pure number."""
    higher_is_better: bool
    chance: float | None = None
    """Value for a prediction of the mean target or of the most frequent class; None: unknown."""


class Meter(Protocol):
    """Accumulates the metrics of a task over the batches of a split."""

    def update(self, outputs: Tree, target: Tree) -> None:
        """Count n rows: the outputs' tensors are [n, ...], the target has n rows. Where the task is `per_step`, these
        are the rows of a batch of whole sequences: those of the first step, then those of the second, and so on."""
        ...

    def compute(self) -> dict[str, float]:
        """Return each metric by name, over all rows since the meter was created; NaN without rows."""
        ...


class Task(ABC):
    """Loss and metrics of one kind of target.

    There is one target per sequence, which counts after the last step; or, if the task is `per_step`, one per step, and
    then rows may lack a label: unlabelled steps and padding. Outputs and targets may be trees, see `Batch`.
    """

    metric: Metric
    """The headline metric, which selects weights."""
    further: tuple[Metric, ...] = ()
    """Further recorded metrics."""
    per_step: bool = False
    """Whether there is a target at every step."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The headline metric and the further ones."""
        return (self.metric, *self.further)

    @abstractmethod
    def loss(self, outputs: Tree, target: Tree) -> Tensor:
        """Return the mean loss over n rows, a scalar. A row without a label has loss 0 and counts in n, so that the
        losses of single steps add up to the loss of the sequence.

        Args:
            outputs: a tensor [n, outputs], or a tree of tensors [n, ...].
            target: a tree with n rows.
        """

    def right(self, outputs: Tree, target: Tree) -> Tensor | None:
        """Return whether each sequence of a batch is right, bool [sequences]; None for a task without such an outcome.

        Args are those of `Meter.update`. The mean over a split is the headline metric.
        """
        return None

    @abstractmethod
    def meter(self) -> Meter:
        """Return a new meter, whose `compute` has an entry for each of `metrics`."""


class MeanMeter:
    """Meter of one metric that is a mean over rows.

    Args:
        name: name of the metric.
        score: maps outputs and target [n, ...] to the value of each row, [n].
        labelled: maps a target to the mask [n] of the rows that carry a label.
    """

    def __init__(
        self, name: str, score: Callable[[Tensor, Tensor], Tensor], labelled: Callable[[Tensor], Tensor]
    ) -> None:
        self.name, self.score, self.labelled = name, score, labelled
        self.total, self.count = 0.0, 0

    def update(self, outputs: Tensor, target: Tensor) -> None:
        rows = self.labelled(target)
        self.total += float(self.score(outputs[rows], target[rows]).sum())
        self.count += int(rows.sum())

    def compute(self) -> dict[str, float]:
        return {self.name: self.total / self.count if self.count else math.nan}


def decided_right(outputs: Tensor, target: Tensor, steps: int) -> Tensor:
    """Return whether the class with the largest mean output over the labelled steps is right, bool [sequences].

    Args:
        outputs: [steps x sequences, classes].
        target: [steps x sequences], −1 where there is no label.
        steps: T.
    """
    outputs, target = outputs.unflatten(0, (steps, -1)), target.unflatten(0, (steps, -1))
    summed = (outputs * (target != -1).unsqueeze(2)).sum(0)
    return summed.argmax(1) == target.amax(0)


class DecisionMeter:
    """Accuracy of decisions on whole sequences: the class with the largest mean output over the labelled steps.

    Args:
        steps: T, the length of the sequences; each has the same class in all of its labelled steps.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.right, self.count = steps, 0, 0

    def update(self, outputs: Tensor, target: Tensor) -> None:
        right = decided_right(outputs, target, self.steps)
        self.right += int(right.sum())
        self.count += len(right)

    def compute(self) -> dict[str, float]:
        return {"accuracy": self.right / self.count if self.count else math.nan}


class Classification(Task):
    """Classification: cross-entropy of logits, accuracy. `target` is int64 [n], −1 where there is no label.

    Args:
        classes: number of classes.
        per_step: whether there is a target at every step.
        chance: accuracy of an untrained network; None: 1 / classes.
        labelled: with `per_step`, the number by which the loss is divided. If it is the fraction of the steps with a
            label, the loss of a sequence is the mean over these steps.
        decision_steps: T, with `per_step`: the accuracy is that of the decisions on whole sequences of this length, see
            `DecisionMeter`; None: that of all labelled steps.

    Example:
        >>> task = Classification(2)
        >>> y = torch.tensor([[2.0, 0.0], [0.0, 2.0]])  # [n, classes]
        >>> task.loss(y, torch.tensor([0, 1])).shape, task.metric.name
        (torch.Size([]), 'accuracy')
    """

    def __init__(
        self,
        classes: int,
        per_step: bool = False,
        chance: float | None = None,
        labelled: float = 1.0,
        decision_steps: int | None = None,
    ) -> None:
        self.classes, self.per_step, self.fraction, self.decision_steps = classes, per_step, labelled, decision_steps
        self.metric = Metric("accuracy", "fraction", True, 1 / classes if chance is None else chance)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        log_p = F.log_softmax(outputs.t(), 0).t()  # over columns: over short rows it takes four times as long
        if not self.per_step:
            return F.nll_loss(log_p, target)
        return F.nll_loss(log_p, target, ignore_index=-1, reduction="sum") / (len(target) * self.fraction)

    def labelled(self, target: Tensor) -> Tensor:
        """Return the mask [n] of the rows that carry a label, and are not padding."""
        return target != -1

    def score(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return 1 for each row whose class has the largest output, else 0, [n]."""
        return (outputs.argmax(1) == target).to(outputs.dtype)

    def right(self, outputs: Tensor, target: Tensor) -> Tensor | None:
        if self.decision_steps is not None:
            return decided_right(outputs, target, self.decision_steps)
        return None if self.per_step else self.score(outputs, target) == 1

    def meter(self) -> Meter:
        if self.decision_steps is not None:
            return DecisionMeter(self.decision_steps)
        return MeanMeter(self.metric.name, self.score, self.labelled)


def without_nan(target: Tensor) -> Tensor:
    """Return the mask [n] of the rows of numbers [n, outputs] that carry a label, and are not padding."""
    return ~target.isnan().any(1)


class Regression(Task):
    """Regression of a vector: mean squared error. `target` is float [n, outputs], NaN where there is no label.

    Args:
        chance: error of a constant prediction of the mean, i.e. the variance of the target.
        per_step: whether there is a target at every step.

    Example:
        >>> task = Regression(chance=1.0)
        >>> task.loss(torch.zeros(4, 2), torch.ones(4, 2))  # [n, outputs]
        tensor(1.)
    """

    def __init__(self, chance: float, per_step: bool = False) -> None:
        self.per_step = per_step
        self.metric = Metric("mse", "1", False, chance)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        if self.per_step:
            target = torch.where(target.isnan(), outputs.detach(), target)
        return F.mse_loss(outputs, target)

    def score(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the squared error of each row, the mean over its outputs, [n]."""
        return (outputs - target).square().mean(1)

    def meter(self) -> MeanMeter:
        return MeanMeter(self.metric.name, self.score, without_nan)


class Distribution(Task):
    """Prediction of a distribution over classes: cross-entropy of logits, in nats. `target` is float [n, classes], rows
    of sum 1; NaN where there is no label.

    Args:
        chance: cross-entropy of a constant prediction, the entropy of the mean target.
        per_step: whether there is a target at every step.

    Example:
        >>> task = Distribution(chance=0.7)
        >>> task.loss(torch.zeros(4, 2), torch.full((4, 2), 0.5))  # ln 2, [n, classes]
        tensor(0.6931)
    """

    def __init__(self, chance: float, per_step: bool = False) -> None:
        self.per_step = per_step
        self.metric = Metric("cross_entropy", "1", False, chance)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return -(target.nan_to_num(0.0) * F.log_softmax(outputs, 1)).sum() / len(target)

    def score(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy of each row, [n]."""
        return -(target * F.log_softmax(outputs, 1)).sum(1)

    def meter(self) -> MeanMeter:
        return MeanMeter(self.metric.name, self.score, without_nan)


class MultiLabelMeter:
    """Mean negative log-likelihood of the labelled rows, and their frame-level accuracy (Bay, Ehmann and Downie 2009):
    right labels over right, missing and extra ones, each counted over all rows."""

    def __init__(self) -> None:
        self.nll, self.rows, self.right, self.wrong = 0.0, 0, 0, 0

    def update(self, outputs: Tensor, target: Tensor) -> None:
        known = without_nan(target)
        outputs, target = outputs[known], target[known]
        predicted, true = outputs > 0, target == 1
        self.nll += float(F.binary_cross_entropy_with_logits(outputs, target, reduction="sum"))
        self.rows += len(target)
        self.right += int((predicted & true).sum())
        self.wrong += int((predicted != true).sum())

    def compute(self) -> dict[str, float]:
        counted = self.right + self.wrong
        return {
            "nll": self.nll / self.rows if self.rows else math.nan,
            "frame_accuracy": self.right / counted if counted else math.nan,
        }


class MultiLabel(Task):
    """Any number of labels for each row: binary cross-entropy of a logit for each label, summed over the labels.

        l = −Σ_k (y_k ln σ(o_k) + (1 − y_k) ln(1 − σ(o_k)))

    `target` is float [n, labels] of zeros and ones, NaN where there is no label. The headline metric is l, the negative
    log-likelihood; the accuracy of the set of labels with σ(o_k) > 1/2 is recorded beside it.

    Args:
        labels: number of labels.
        per_step: whether there is a target at every step.
        chance: l of an untrained network; None: labels · ln 2, that of equal probabilities.

    Example:
        >>> task = MultiLabel(3)
        >>> task.loss(torch.zeros(4, 3), torch.ones(4, 3))  # 3 ln 2, [n, labels]
        tensor(2.0794)
    """

    further = (Metric("frame_accuracy", "fraction", True),)

    def __init__(self, labels: int, per_step: bool = False, chance: float | None = None) -> None:
        self.labels, self.per_step = labels, per_step
        self.metric = Metric("nll", "nat a step", False, labels * math.log(2) if chance is None else chance)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        known = ~target.isnan()
        summed = F.binary_cross_entropy_with_logits(outputs, target.nan_to_num(), weight=known, reduction="sum")
        return summed / len(target)

    def meter(self) -> MultiLabelMeter:
        return MultiLabelMeter()
