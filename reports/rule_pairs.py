"""Two rules on each task that both were run on: differences paired over replicates."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import pandas as pd

from throughtime.errors import UsageError, suggestion
from throughtime.records.results import Results
from throughtime.records.statistics.against import RulePair, compared
from throughtime.records.statistics.summary import ALPHA
from throughtime.reports.best import pair_of
from throughtime.reports.cells import TASK_KEYS, groups
from throughtime.reports.summaries import summarise

COLUMNS = [
    *[*TASK_KEYS, "measure", "unit", "solved", "rule", "other"],
    *["difference", "low", "high", "n", "p", "word"],
]
METHOD = (
    "Difference over common replicates with Student's t interval (95 %), or shares of solved runs where a rule both "
    f"solves a task and fails on it (exact test); p after Holm's correction over the rows, {100 * ALPHA:.0f} %."
)


def rule_pairs(results: Results, rule: str, other: str) -> pd.DataFrame:
    """Compare two rules on each task with results of both.

    Args:
        results: of any suites.
        rule: label of a rule.
        other: label of the rule that it is compared with.

    Returns:
        The columns `COLUMNS`, a row for each task, the family of Holm's correction: the means over common replicates in
        the unit of the records, or the shares of solved runs where `solved`; `difference` is rule minus other, with its
        interval (NaN for shares); `word` as in `records.statistics.against`, of the rule.

    Raises:
        UsageError: no run has a rule, or no task has results of both.
    """
    known = dict.fromkeys(results.frame["rule"])
    for name in (rule, other):
        if name not in known:
            raise UsageError(f'no run has the rule "{name}"', hint=suggestion(name, known))
    pairs: dict[tuple[str, ...], RulePair] = {}
    cells: dict[tuple[str, ...], dict[Any, Any]] = {}
    summary = summarise(results.frame)
    for key, rows in groups(summary[summary["better"] != ""], TASK_KEYS):
        records = rows.to_dict("records")
        if (pair := pair_of(records, rule, other)) is not None:
            pairs[key], cells[key] = pair, records[0]
    if not pairs or rule == other:
        raise UsageError(
            f'no task has results of "{rule}" and of "{other}", two rules', hint="`throughtime table` shows them"
        )
    lines = []
    for key, comparison in compared(pairs).items():
        mine, its = _means(pairs[key])
        low, high = (math.nan if end is None else end for end in (comparison.low, comparison.high))
        described = (cells[key]["measure"], cells[key]["unit"], pairs[key].task is not None, mine, its)
        lines.append((*key, *described, comparison.difference, low, high, comparison.n, comparison.p, comparison.word))
    return pd.DataFrame(lines, columns=COLUMNS)


def _means(pair: RulePair) -> tuple[float, float]:
    """Return the mean of rule and reference over common replicates, or their shares of solved runs."""
    if (task := pair.task) is not None:
        mine, its = ([float(task(value)) for value in side.values()] for side in (pair.runs, pair.reference))
        return fmean(mine), fmean(its)
    common = sorted(pair.runs.keys() & pair.reference.keys())
    sides = (pair.runs, pair.reference)
    mine, its = ([side[r] for r in common] if common else [*side.values()] for side in sides)
    return fmean(mine), fmean(its)
