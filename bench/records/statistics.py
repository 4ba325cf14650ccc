"""Means and their intervals, with what they cannot say."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from scipy.special import stdtrit


class Interval(NamedTuple):
    """A mean and where it may lie."""

    mean: float
    low: float | None
    """Lower end; None where one value gives no spread."""
    high: float | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the width: what stands behind the ±."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def mean_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean: mean ± t(level, n - 1) s / sqrt(n), s with n - 1 in the denominator.

    Its limits. It takes the *means* to be normally distributed and the values to be independent draws
    (seeds). Few seeds make it wide: with n = 3 the factor is 4.30 / sqrt(3) = 2.48 standard deviations, with
    n = 2 it is 8.98. It speaks of the mean over seeds, not of the next run. For a skewed measure (an error
    near 0, an accuracy near 1, one run in three that fails to learn) it is too short on the long side, and an
    end may lie outside what is possible: an accuracy above 1 is shown as it is, because cutting it off would
    make the interval look better than it is. Runs that failed are not among the values, so a rule that
    diverges half the time must be read with its count of failures.

    Args:
        values: one number a replicate.
        level: how often such an interval covers the mean, between 0 and 1.

    Returns:
        The mean, the ends and n; with n = 1 the ends are None, for one value says nothing of the spread.

    Raises:
        ValueError: no values, a value that is not finite, or a level outside (0, 1).
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise ValueError("the mean of no values")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"not all finite: {numbers}; leave failed runs out and count them")
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    n = len(numbers)
    mean = math.fsum(numbers) / n
    if n == 1:
        return Interval(mean, None, None, 1)
    deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / (n - 1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)
