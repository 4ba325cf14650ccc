"""Means over replicates and their confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from scipy.special import expit, logit, stdtrit

Scale = Literal["identity", "log", "logit", "atanh"]
"""Scale on which an interval is symmetric; its range is that of all numbers, (0, ∞), (0, 1) or (-1, 1)."""


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float | None
    """Lower end; None for a single value."""
    high: float | None
    n: int


class _Transform(NamedTuple):
    g: Callable[[float], float]
    inverse: Callable[[float], float]
    slope: Callable[[float], float]
    """Derivative of g."""
    ends: tuple[float, float]
    """Range of the values."""


_TRANSFORMS: dict[Scale, _Transform] = {
    "identity": _Transform(float, float, lambda m: 1.0, (-math.inf, math.inf)),
    "log": _Transform(math.log, math.exp, lambda m: 1 / m, (0, math.inf)),
    "logit": _Transform(lambda m: float(logit(m)), lambda y: float(expit(y)), lambda m: 1 / (m * (1 - m)), (0, 1)),
    "atanh": _Transform(math.atanh, math.tanh, lambda m: 1 / (1 - m * m), (-1, 1)),
}


def in_range(values: Iterable[float], scale: Scale) -> bool:
    """Return whether no value is outside the closed range of a scale."""
    first, last = _TRANSFORMS[scale].ends
    return all(first <= value <= last for value in values)


def half_width(parts: Iterable[tuple[float, float]], level: float) -> float:
    """Return the half width of the interval of a mean whose variance v is a sum of independent parts.

        t(level, ν) √v      v = Σ v_i      ν = v² / Σ (v_i² / ν_i), of Welch and Satterthwaite

    Args:
        parts: v_i and its degrees of freedom ν_i; some v_i is above 0.
        level: coverage probability.
    """
    variances, freedoms = zip(*parts, strict=True)
    v = sum(variances)
    ν = v**2 / sum(v_i**2 / ν_i for v_i, ν_i in zip(variances, freedoms, strict=True))
    return float(stdtrit(ν, (1 + level) / 2)) * math.sqrt(v)


def mean_interval(values: Iterable[float], level: float = 0.95, scale: Scale = "identity") -> Interval:
    """Compute Student's t interval of the mean on a scale g: g(m) ± g'(m) t(level, n - 1) s / sqrt(n).

    The ends are transformed back by the inverse of g. m is the mean and s the standard deviation with n - 1 in the
    denominator. On the identity this is the usual t interval. On the other scales the ends stay inside the range of the
    values: log for numbers above 0 (errors, times, bytes), logit for fractions, atanh for cosines. With the logit it is
    the interval of proportions in surveys (Korn and Graubard, Analysis of Health Surveys, 1999, section 5.2). Values at
    an end of the range, such as an accuracy of 1, are allowed. If all values are equal, the interval has no width.

    Limitations: the interval assumes that the mean is normally distributed and that the values are independent (seeds).
    With few seeds it is wide: t / sqrt(n) is 1.24 for n = 5, 2.48 for n = 3 and 8.98 for n = 2. It describes the mean
    over seeds, not the next run. For a skewed measure (one run in three that fails to learn) it is too short on the
    side of the tail. Failed runs are not among the values, so the mean of a rule that often diverges must be read with
    its number of failures.

    Args:
        values: one number per replicate.
        level: coverage probability, between 0 and 1.
        scale: the scale g.

    Returns:
        The mean, the ends and n; for n = 1 the ends are None.

    Raises:
        ValueError: no values, a value that is not finite or out of the range of the scale, or a level outside (0, 1).
    """
    numbers = [float(value) for value in values]
    if not numbers:
        raise ValueError("the mean of no values")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"not all values are finite: {numbers}; exclude failed runs and count them")
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    if not in_range(numbers, scale):
        raise ValueError(f"not all values are in the range of the scale {scale}: {numbers}")
    n = len(numbers)
    mean = math.fsum(numbers) / n
    if n == 1:
        return Interval(mean, None, None, 1)
    if len(set(numbers)) == 1 or mean in _TRANSFORMS[scale].ends:  # at an end by rounding: the values hardly differ
        return Interval(mean, mean, mean, n)
    deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / (n - 1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * deviation / math.sqrt(n)
    if scale == "identity":
        return Interval(mean, mean - half, mean + half, n)
    g, inverse, slope, _ = _TRANSFORMS[scale]
    centre, half = g(mean), slope(mean) * half
    return Interval(mean, inverse(centre - half), inverse(centre + half), n)
