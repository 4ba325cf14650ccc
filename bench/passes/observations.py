"""Observations of a rule over an epoch and metrics of a task, under names that the harness does not use itself."""

from __future__ import annotations

from throughtime.algorithms.base import LearningRule, Observation
from throughtime.datasets.task import Task
from throughtime.errors import UsageError
from throughtime.records.columns import COLUMNS
from throughtime.spec import MEASURED_ONCE

TAKEN = {"epoch", "iteration", "updates", "sequences", "train_loss", "firing_rate"} | {
    *("chance", "loss", "training_time", "energy", "epochs_trained", "zeroed_updates", *COLUMNS),
}
"""Names in curve, record and frame that neither a rule's observation nor a metric may have."""


def is_taken(name: str) -> bool:
    """Return whether the harness itself measures something of this name, or a frame has such a column."""
    return name in TAKEN or name.startswith(MEASURED_ONCE)


def check_metrics(task: Task) -> None:
    """Raise UsageError if a metric of a task has the name of a measure of the harness."""
    for metric in task.metrics:
        if is_taken(metric.name):
            raise UsageError(f'the metric "{metric.name}" has the name of a measure or column of every run')


def observed(rule: LearningRule, task: Task) -> dict[str, Observation]:
    """Return the rule's observations of the epoch that has ended.

    Raises:
        ValueError: an observation has the name of a measure of the harness.
    """
    seen = rule.end_epoch()
    measured = ("validation", "test", *(metric.name for metric in task.metrics))
    if clashes := sorted(name for name in seen if is_taken(name) or name.startswith(measured)):
        raise ValueError(f"the rule observes {', '.join(clashes)}: the harness measures that itself")
    return seen
