"""Two groups of replicates on several tasks: interquartile mean and probability of improvement, by bootstrap.

Both are those of Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, NeurIPS (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import trim_mean

from throughtime.records.statistics.interval import Interval

RESAMPLES = 2000
"""Bootstrap samples."""

Scores = Sequence[Sequence[float]]
"""A number for each replicate of each task, larger numbers better; tasks may have different numbers of replicates."""


class OverTasks(NamedTuple):
    """A group of runs against a reference, over all tasks. Intervals are those of the percentiles of the bootstrap."""

    advantage: Interval
    """Interquartile mean of score minus the reference's mean on the same task; n is the number of runs."""
    improvement: Interval
    """Probability that a run is better than one of the reference on the same task, mean over tasks; a tie is half."""


def over_tasks(scores: Scores, reference: Scores, level: float = 0.95) -> OverTasks:
    """Compare two groups over tasks, with intervals by stratified bootstrap: replicates are drawn within each task.

        advantage    IQM of x_kr − mean over r of y_kr        the mean of the middle half of all runs of all tasks
        improvement  mean over k of mean over r, s of [x_kr > y_ks] + ½ [x_kr = y_ks]

    Args:
        scores: x, by task k and replicate r.
        reference: y, of the same tasks.
        level: coverage probability.

    Raises:
        ValueError: the tasks of both differ in number, or a task has no replicates.
    """
    if len(scores) != len(reference) or not scores or not all(map(len, [*scores, *reference])):
        raise ValueError(f"not the same tasks with replicates in each: {len(scores)} and {len(reference)}")
    both = zip(scores, reference, strict=True)
    pairs = [(np.array(x, dtype=float)[None], np.array(y, dtype=float)[None]) for x, y in both]
    generator = np.random.default_rng(0)
    drawn = [(_resampled(x, generator), _resampled(y, generator)) for x, y in pairs]
    tails = [50 * (1 - level), 50 * (1 + level)]
    intervals = []
    for statistic in (_advantage, _improvement):
        low, high = np.percentile(statistic(drawn), tails).tolist()
        intervals.append(Interval(float(statistic(pairs)[0]), low, high, sum(map(len, scores))))
    return OverTasks(*intervals)


def _resampled(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return bootstrap samples of the replicates of a task, [RESAMPLES, n]."""
    n = values.shape[1]
    return values[0][generator.integers(n, size=(RESAMPLES, n))]


def _advantage(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    differences = np.concatenate([x - y.mean(1, keepdims=True) for x, y in pairs], axis=1)
    return np.asarray(trim_mean(differences, 0.25, axis=1))


def _improvement(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the probability of improvement of each sample: Mann and Whitney's U over the product of both n."""
    won = [(np.sign(x[:, :, None] - y[:, None, :]) + 1).mean((1, 2)) / 2 for x, y in pairs]
    return np.mean(won, axis=0)
