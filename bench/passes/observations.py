"""Observations of a rule over an epoch, under names that the harness does not use itself."""

from __future__ import annotations

from throughtime.algorithms.base import LearningRule, Observation
from throughtime.datasets.task import Task

TAKEN = {"epoch", "iteration", "updates", "sequences", "train_loss", "firing_rate", "seconds"} | {
    *("chance", "loss", "training_time", "energy"),
}
"""Names in curve and record that a rule's own observations may not have."""


def observed(rule: LearningRule, task: Task) -> dict[str, Observation]:
    """Return the rule's observations of the epoch that has ended.

    Raises:
        ValueError: an observation has the name of a measure of the harness.
    """
    seen = rule.end_epoch()
    measured = ("validation", "test", *(metric.name for metric in task.metrics))
    if clashes := sorted(name for name in seen if name in TAKEN or name.startswith(measured)):
        raise ValueError(f"the rule observes {', '.join(clashes)}: the harness measures that itself")
    return seen
