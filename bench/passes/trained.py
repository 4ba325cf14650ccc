"""Progress and outcome of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from throughtime.algorithms.base import Observation
from throughtime.harness.batches import Evaluation
from throughtime.records.record import Measure


class Trained(NamedTuple):
    """The outcome of a training run."""

    final: Evaluation
    """Test split, weights of the last epoch; with `mean_of_last` the metrics are means of the last evaluations."""
    averaged: int
    """Number of these evaluations."""
    best: Evaluation
    """Test split, weights of the epoch that was best on the validation split."""
    best_epoch: int
    validation: dict[str, float]
    """Metrics on the validation split in that epoch."""
    best_test: dict[str, float]
    """Metrics on the test split in the epoch that was best on the test split itself."""
    best_test_epoch: int
    epochs: int
    """Epochs of training, fewer than those of the spec where training stopped early."""
    end: str
    """Number of epochs of the spec, and the reason why training stopped early."""
    loss: float
    """Mean of the rule's losses over the last epoch."""
    observations: dict[str, Observation]
    """Observations of the rule over the last epoch."""
    aligned: dict[str, Measure]
    """Latest alignment of the gradient with BPTT's; empty if it was not measured."""
    phases: dict[str, float]
    """Seconds: load, learn (without update), update, evaluate, align, checkpoint."""
    seconds: float
    """Wall time of all processes of this training, up to the checkpoints that were resumed."""
    continued: int
    """Number of times that another process resumed the training."""


@dataclass
class TrainingPosition:
    """Position of training, in plain values."""

    epoch: int = 1
    """Current epoch; one more than the number of epochs after the last."""
    seen: int = 0
    """Batches of that epoch drawn from the data."""
    losses: list[float] = field(default_factory=list)
    """Losses of that epoch."""
    loss: float = math.nan
    """Mean loss of the previous epoch."""
    iteration: int = 0
    sequences: int = 0
    best: float = -math.inf
    """Best headline metric on the validation split; negated if lower is better."""
    best_epoch: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    """Metrics on the validation split in that epoch."""
    best_test_score: float = -math.inf
    """Best headline metric on the test split; negated if lower is better. It chooses no weights."""
    best_test_epoch: int = 0
    best_test: dict[str, float] = field(default_factory=dict)
    """Metrics on the test split in that epoch."""
    last_tests: list[dict[str, float]] = field(default_factory=list)
    """Metrics on the test split after the last epochs, at most `mean_of_last` of them."""
    rows: int = 0
    """Rows of the learning curve."""
    continued: int = 0


def mean_of(evaluations: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric over evaluations of one task; of a single one its values."""
    n = len(evaluations)
    return {name: math.fsum(metrics[name] for metrics in evaluations) / n for name in evaluations[0]}
