"""The rules of one task compared with BPTT and with the best of them: what tables, page and docs say of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from throughtime.records.statistics.against import (
    SOLVED,
    Replicates,
    RuleComparison,
    RulePair,
    Solved,
    against,
    is_bimodal,
    solved,
)
from throughtime.records.statistics.summary import ALPHA
from throughtime.spec import MEASURED_ONCE

LOWER_IS_BETTER = ("wall_time", "compile_time", "time_over_floor", "training_time", "peak_", "energy")
"""Prefixes of the names of costs; a task's metrics have their direction in the records."""
REFERENCE = "bptt"
"""Label of the rule that the others are compared with."""
MEANING = (
    "Bold: the best rule of a row, and the rules not distinguished from it by Student's t test of the differences "
    "between replicates or, where a rule both solves a task and fails on it, by the exact test of the shares of solved "
    f"runs ({100 * ALPHA:.0f} %, Holm's correction over the row); the best alone where n decides nothing. Measures "
    "with one value per cell are compared without a test."
)
SHARES = (
    "4/5: number of solved runs, where a rule both solves the task and fails on it, compared by an exact test. A run "
    f"solves a task if it gets at least {SOLVED:g} of the way from chance to a perfect result, 80 % where chance is "
    "50 %."
)
"""Explanation of shares of solved runs."""
Row = Mapping[Any, Any]
"""A row of `summaries.summarise`."""


class Compared(NamedTuple):
    """The rules of one dataset, network and neuron."""

    best: str
    """The rule with the best mean or, of bimodal results, the most solved runs; empty without results."""
    solved: Mapping[str, int]
    """Solved runs of each rule, of those that ended ok or diverged; empty if results are not bimodal."""
    with_bptt: Mapping[str, RuleComparison]
    """The other rules against BPTT; empty without a result of BPTT."""
    with_best: Mapping[str, RuleComparison]
    """The other rules against the best."""


def direction(measure: str, recorded: Sequence[str]) -> str:
    """Return the direction of improvement of a measure: `higher`, `lower`, or empty if it has none.

    Args:
        measure: its name.
        recorded: the directions in the records of some runs.
    """
    if measure.startswith(LOWER_IS_BETTER):
        return "lower"
    return recorded[0] if recorded else ""


def _values(rows: Sequence[Row]) -> tuple[dict[str, dict[int, float]], Solved | None]:
    """Return the results of the rules of one task by replicate, and when a run is solved; None if they are not
    bimodal."""
    known = [row for row in rows if row["n"]]
    better, unit, chance = (known[0][name] for name in ("better", "unit", "chance"))
    values = {row["rule"]: dict(zip(row["replicates"], row["values"], strict=True)) for row in known}
    task = None if math.isnan(chance) else solved(better, unit, chance)
    if task is None or not is_bimodal(values, task):
        return values, None
    for row in rows:  # a run that diverged has not solved the task
        never = {-1 - i: -math.inf if better == "higher" else math.inf for i in range(row["n_diverged"])}
        if row["n"] or never:
            values[row["rule"]] = values.get(row["rule"], {}) | never
    return values, task


def compare_rules(rows: Sequence[Row]) -> Compared:
    """Compare the rules of a task; means, or the shares of solved runs if results are bimodal.

    Args:
        rows: the summaries of one measure, which has a direction, of one dataset and neuron, one for each rule.
    """
    known = [row for row in rows if row["n"]]
    if not known:
        return Compared("", {}, {}, {})
    values, task = _values(rows)
    better = known[0]["better"]
    counts: dict[str, int] = {}
    if task is not None:
        counts = {rule: sum(task(value) for value in runs.values()) for rule, runs in values.items()}
    best = _best(known, {rule: count / len(values[rule]) for rule, count in counts.items()})
    return Compared(best, counts, _compared(REFERENCE, values, better, task), _compared(best, values, better, task))


def pair_of(rows: Sequence[Row], rule: str, other: str) -> RulePair | None:
    """Return the results of two rules on a task, whose rows are as in `compare_rules`; None if one of them has none."""
    if not any(row["n"] for row in rows):
        return None
    values, task = _values(rows)
    if not all(values.get(name) for name in (rule, other)):
        return None
    return RulePair(values[other], values[rule], rows[0]["better"], task)


def _best(rows: Iterable[Row], shares: Mapping[str, float]) -> str:
    sign = {"higher": 1, "lower": -1}
    return str(max(rows, key=lambda row: (shares.get(row["rule"], 0), sign[row["better"]] * row["mean"]))["rule"])


def _compared(
    reference: str, values: Mapping[str, Replicates], better: str, task: Solved | None
) -> dict[str, RuleComparison]:
    others = {rule: runs for rule, runs in values.items() if rule != reference}
    return against(values[reference], others, better, task) if reference in values and others else {}


class RowMarks(NamedTuple):
    """The marks that the comparison of the rules of a table's row adds to their numbers."""

    best: set[str]
    """The best rules, by `MEANING`; none without a direction or with a single rule."""
    solved: Mapping[str, str]
    """Solved runs of each rule, such as `4/5`; empty if results are not bimodal."""
    undecided: bool = False
    """Whether n decides nothing between the best rule and the others."""


def row_marks(rows: Sequence[Row]) -> RowMarks:
    """Compare the rules of a row of a table.

    Args:
        rows: the summaries (`summaries.summarise`) of one measure of one dataset and neuron, one for each rule.
    """
    known = [record for record in rows if record["n"]]
    if not known or not known[0]["better"]:
        return RowMarks(set(), {})
    if known[0]["measure"].startswith(MEASURED_ONCE):
        mean = next(record["mean"] for record in known if record["rule"] == _best(known, {}))
        return RowMarks({record["rule"] for record in known if len(known) > 1 and record["mean"] == mean}, {})
    comparison = compare_rules(rows)
    best = {comparison.best, *(rule for rule, pair in comparison.with_best.items() if pair.word == "not distinguished")}
    shares = {
        row["rule"]: share(row, comparison.solved[row["rule"]]) for row in rows if row["rule"] in comparison.solved
    }
    words = {pair.word for pair in comparison.with_best.values()}
    return RowMarks(best if len(known) > 1 else set(), shares, words == {"n decides nothing"})


def share(row: Row, solved_runs: float) -> str:
    """Return the share of solved runs, such as `4/5`: of those that ended ok or diverged."""
    return f"{solved_runs:.0f}/{row['n'] + row['n_diverged']:.0f}"
