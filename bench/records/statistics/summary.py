"""The summary of a claim: a mean over datasets and replicates, its interval, and what it says about a range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import betaincinv, stdtr

from throughtime.records.statistics.interval import Interval, half_width
from throughtime.records.statistics.significance import holm

Lean = Literal["for", "against", "neither"]
"""What numbers say about a statement."""
ALPHA = 0.05
"""Level of the tests, two-sided."""


def mean_over_datasets(values: Sequence[Sequence[float]]) -> Interval:
    """Return the mean over datasets k and replicates r with Student's t interval of 95 % over both.

        m ± t(ν) sqrt(v_r + v_k)                        ν = (v_r + v_k)² / (v_r² / (n − 1) + v_k² / (D − 1))
        v_r = s²(mean over k of x_kr) / n               v_k = s²(mean over r of x_kr) / D, 0 for D = 1

    For one dataset it is the t interval over the replicates. For several, v_r and v_k both hold the noise within a
    cell, so that the interval is wider than it need be where the datasets agree.

    Args:
        values: [D, n], a finite number for each replicate of each dataset; the same replicates for all datasets.

    Returns:
        The mean, the ends and n; for n = 1 the ends are None.

    Raises:
        ValueError: no values, datasets with different numbers of replicates, or a number that is not finite.
    """
    x = np.array([*values], dtype=float)
    if x.ndim != 2 or not x.size or not np.isfinite(x).all():
        raise ValueError(f"not a finite number for each replicate of each dataset: {values}")
    D, n = x.shape
    mean = float(x.mean())
    if n == 1:
        return Interval(mean, None, None, 1)
    v_r = float(x.mean(0).var(ddof=1)) / n
    v_k = float(x.mean(1).var(ddof=1)) / D if D > 1 else 0.0
    if v_r + v_k == 0:
        return Interval(mean, mean, mean, n)
    half = half_width([(v_r, n - 1), (v_k, max(D - 1, 1))], 1 - ALPHA)
    return Interval(mean, mean - half, mean + half, n)


def lean_of(interval: Interval, low: float = -math.inf, high: float = math.inf) -> Lean:
    """Return whether an interval lies inside a range, outside it, or neither.

    With both ends finite, `for` is the result of an equivalence test: two one-sided tests, each at half of the level of
    the interval.
    """
    if interval.low is None or interval.high is None:
        return "neither"
    if low < interval.low and interval.high < high:
        return "for"
    return "against" if interval.high < low or interval.low > high else "neither"


def differs(rows: Sequence[Sequence[float]]) -> list[bool]:
    """Return for each row of numbers whether their mean differs from 0: Student's t test, p <= `ALPHA` after Holm."""
    return [p <= ALPHA for p in holm([student_p(row) for row in rows])]


def student_p(numbers: Sequence[float]) -> float:
    """Return the two-sided p of Student's t test that the mean of numbers is 0; 1 for a single number."""
    row = np.array(numbers, dtype=float)
    n = len(row)
    if n < 2:
        return 1.0
    if not (error := float(row.std(ddof=1)) / math.sqrt(n)):
        return 1.0 if row.mean() == 0 else 0.0
    return 2 * float(stdtr(n - 1, -abs(row.mean()) / error))


def share(count: int, n: int, level: float = 1 - ALPHA) -> Interval:
    """Return a share of n runs with the exact interval of Clopper and Pearson: quantiles of beta distributions."""
    tail = (1 - level) / 2
    low = float(betaincinv(count, n - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return Interval(count / n, low, high, n)
