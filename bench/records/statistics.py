"""Means over replicates and their confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from scipy.special import stdtrit


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float | None
    """Lower end; None for a single value."""
    high: float | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the width of the interval, as in mean ± half; None for a single value."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def mean_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean: mean ± t(level, n - 1) s / sqrt(n), s with n - 1 in the denominator.

    Limitations: the interval assumes that the *mean* is normally distributed and that the values are independent
    (seeds). With few seeds it is wide: the half width is 4.30 / sqrt(3) = 2.48 standard deviations for n = 3, and 8.98
    for n = 2. It describes the mean over seeds, not the next run. For a skewed measure (an error near 0, an accuracy
    near 1, one run in three that fails to learn) it is too short on the side of the tail, and an end may lie outside
    the possible range: an accuracy above 1 is not clipped, because clipping would make the interval look better than it
    is. Failed runs are not among the values, so the mean of a rule that often diverges must be read with its number
    of failures.

    Args:
        values: one number per replicate.
        level: coverage probability, between 0 and 1.

    Returns:
        The mean, the ends and n; for n = 1 the ends are None.

    Raises:
        ValueError: no values, a value that is not finite, or a level outside (0, 1).
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise ValueError("the mean of no values")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"not all values are finite: {numbers}; exclude failed runs and count them")
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    n = len(numbers)
    mean = math.fsum(numbers) / n
    if n == 1:
        return Interval(mean, None, None, 1)
    deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / (n - 1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)
