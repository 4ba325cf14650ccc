"""The best rules of a row of a table: the best mean, and the rules that cannot be distinguished from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from throughtime.records.statistics.significance import difference
from throughtime.reports.quantities import INTERVAL_FROM, LEVEL

LOWER_IS_BETTER = ("wall_time", "compile_time", "time_over_floor", "training_time", "peak_", "energy")
"""Prefixes of the names of costs; a task's metrics have their direction in the records."""
MEANING = (
    f"Bold: the best rule of a row, and the rules whose difference from it has a {100 * LEVEL:.0f} % interval that "
    "contains 0 (Welch's t, Bonferroni over the row); a single value is distinguished by its size, and fewer than "
    f"{INTERVAL_FROM} values that are all equal are not distinguished."
)


def direction(measure: str, recorded: pd.Series) -> str:
    """Return the direction of improvement of a measure: `higher`, `lower`, or empty if it has none.

    Args:
        measure: its name.
        recorded: the directions in the records of some runs, with gaps.
    """
    if measure.startswith(LOWER_IS_BETTER):
        return "lower"
    known = recorded.dropna()
    return str(known.iloc[0]) if len(known) else ""


def best_rules(row: pd.DataFrame) -> set[str]:
    """Return the best rules of a row of a table, by `MEANING`; none without a direction or with a single rule.

    Args:
        row: the summaries (`cells.summarise`) of one measure of one dataset and neuron, one for each rule.
    """
    found = row[row["n"] > 0]
    if len(found) < 2 or not found["better"].iloc[0]:
        return set()
    sign = 1 if found["better"].iloc[0] == "higher" else -1
    values = dict(zip(found["rule"], found["values"], strict=True))
    best = found.loc[(sign * found["mean"]).idxmax(), "rule"]
    level = 1 - (1 - LEVEL) / (len(found) - 1)
    return {rule for rule in values if rule == best or not _differs(values[best], values[rule], level)}


def _differs(best: Sequence[float], other: Sequence[float], level: float) -> bool:
    interval = difference(best, other, level)
    if interval.low is None or interval.high is None:
        return interval.mean != 0
    if by_chance_equal(interval.low, interval.high, min(len(best), len(other))):
        return False
    return interval.low > 0 or interval.high < 0


def by_chance_equal(low: float, high: float, n: int) -> bool:
    """Return whether an interval has no width because few replicates agree, which says nothing on their spread."""
    return n < INTERVAL_FROM and math.isclose(low, high)
