"""Verdicts on exponents of the time of a sequence in its frames."""

from __future__ import annotations

import functools

from scipy.special import stdtrit

from throughtime.records.results import Results
from throughtime.records.statistics.interval import Interval
from throughtime.records.statistics.summary import ALPHA, lean_of
from throughtime.reports.growth import exponents
from throughtime.reports.papers.claims import Answer, decided, written

TIME = "fptt-time"


def grows(results: Results, rule: str, least: float, most: float) -> Answer:
    """Judge whether the time of a sequence grows with its frames by a power between two bounds.

    Summary: the exponent by least squares of logarithms over n >= 3 numbers of frames, with Student's t interval from
    their scatter. Criterion: the interval lies between the bounds. Times of a busy machine decide nothing.
    """
    for scale in ("paper", "laptop"):
        rows = _exponents(results.select(TIME, scale))
        rows = rows[(rows["rule"] == rule) & (rows["size"] == "T") & (rows["measure"] == "wall_time")]
        if rows.empty:
            continue
        row = rows.iloc[0]
        interval = _interval(float(row["exponent"]), float(row["error"]), int(row["n"]))
        reason = f"exponent of the time of a sequence in its frames, {row['sizes']}; from {least} to {most}"
        busy = "an idle machine" if row["contended"] else ""
        lean = lean_of(interval, least, most)
        answer = decided(lean, f"{rule}: {row['exponent']:.2f}", reason, interval.n, missing=busy)
        return answer._replace(scale=scale, interval=written(interval))
    return Answer("not run here", "", f"no run of {TIME} at two numbers of frames")


_exponents = functools.lru_cache(maxsize=2)(exponents)  # two claims read each scale


def _interval(exponent: float, error: float, n: int) -> Interval:
    """Return Student's t interval of a slope with n − 2 degrees of freedom; without ends for two points."""
    if n < 3:
        return Interval(exponent, None, None, n)
    half = float(stdtrit(n - 2, 1 - ALPHA / 2)) * error
    return Interval(exponent, exponent - half, exponent + half, n)
