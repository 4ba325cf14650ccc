"""Every rule relative to BPTT: on each task, over all tasks, and its cost. The page and the table read this."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pandas as pd
from scipy.stats import ttest_ind

from throughtime.records.results import Results
from throughtime.records.statistics.over_tasks import over_tasks
from throughtime.records.statistics.significance import difference, holm
from throughtime.records.statistics.summary import ALPHA
from throughtime.reports.best import REFERENCE
from throughtime.reports.cells import KEYS, TASK, groups, rule_rank, runs_of, summarise

CELL_COLUMNS = [
    *["suite", "scale", *TASK, "rule", "measure", "unit", "n", "n_bptt", "mean", "difference", "low", "high"],
    *["p", "p_holm", "verdict", "bytes", "bytes_over_bptt", "time_over_bptt"],
]
RULE_COLUMNS = ["rule", "tasks", "runs", "advantage", "advantage_low", "advantage_high"]
RULE_COLUMNS += ["improvement", "improvement_low", "improvement_high", "bytes_over_bptt", "time_over_bptt"]
RULE_COLUMNS += ["better", "worse", "undistinguished"]


class Relative(NamedTuple):
    """Rules relative to BPTT."""

    cells: pd.DataFrame
    """A row for each rule and task (dataset, network, neuron) with a run of both, in reading order."""
    rules: pd.DataFrame
    """A row for each rule other than BPTT with a result on every task, in reading order."""


def relative_to_bptt(results: Results, suite: str, scale: str) -> Relative:
    """Compare the headline metric of each rule with BPTT's on the same task.

    A difference is positive where the rule is better, whatever the direction of the metric, and in the unit of the
    record. Only replicates that ended `ok` count.

    Args:
        results: of any suites.
        suite: one suite, whose metric has one unit.
        scale: one of its scales.

    Returns:
        `cells`: `difference` of the means with Welch's interval (`low`, `high`); `p` of Welch's t test; `p_holm`, the
        same after Holm's correction over all cells; `verdict`, `better` or `worse` where p_holm <= 0.05, else
        `not distinguished`, and `reference` for BPTT; `bytes`, the exact peak with the input streamed;
        `bytes_over_bptt` and `time_over_bptt`, by the pass `ratio` or else of both wall times. `rules`: `advantage` and
        `improvement` of `over_tasks` with their intervals; medians over tasks of both costs; numbers of tasks by
        verdict. Costs that were not measured are NaN.
    """
    runs = runs_of(results, suite, scale)
    summary = summarise(runs)
    summary = summary[(summary["n"] > 0) & (summary["better"] != "")]
    for column, measure in (("bytes", "peak_live_bytes_streamed"), ("time", "wall_time"), ("ratio", "time_over_bptt")):
        costs = summarise(runs, measure)[[*KEYS, "mean"]].rename(columns={"mean": column})
        summary = summary.merge(costs, on=KEYS, how="left")
    rows = [row for _, task in groups(summary, TASK) for row in _rows(task)]
    compared = [row for row in rows if row["verdict"] != "reference"]
    for row, p_holm in zip(compared, holm([row["p"] for row in compared]), strict=True):
        row["p_holm"] = p_holm
        row["verdict"] = "not distinguished" if p_holm > ALPHA else "better" if row["difference"] > 0 else "worse"
    cells = pd.DataFrame(rows, columns=[*CELL_COLUMNS, "values", "reference"])
    return Relative(cells[CELL_COLUMNS], _over_tasks(cells))


def _rows(task: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the cells of one task before Holm's correction; none without BPTT."""
    bptt = next((row for _, row in task.iterrows() if row["rule"] == REFERENCE), None)
    if bptt is None:
        return []
    sign = 1 if bptt["better"] == "higher" else -1
    reference = [sign * value for value in bptt["values"]]
    rows = []
    for _, row in task.iterrows():
        values = [sign * value for value in row["values"]]
        interval = difference(reference, values)
        measured = row["ratio"] if not math.isnan(row["ratio"]) else row["time"] / bptt["time"]
        rows.append(
            {
                **dict(row[["suite", "scale", *TASK, "rule", "measure", "unit", "n", "mean", "bytes"]]),
                **{"n_bptt": bptt["n"], "difference": interval.mean, "low": interval.low, "high": interval.high},
                **{"p": _p(reference, values), "p_holm": math.nan, "values": values, "reference": reference},
                "verdict": "reference" if row["rule"] == REFERENCE else "",
                "bytes_over_bptt": row["bytes"] / bptt["bytes"],
                "time_over_bptt": 1.0 if row["rule"] == REFERENCE else measured,
            }
        )
    return rows


def _p(reference: list[float], values: list[float]) -> float:
    """Return the two-sided p of Welch's t test; 1 where a side has one value, or both have no spread and one mean."""
    if min(len(reference), len(values)) < 2:
        return 1.0
    if len({*reference, *values}) <= 2 and len(set(reference)) == len(set(values)) == 1:
        return 1.0 if reference[0] == values[0] else 0.0
    return float(ttest_ind(reference, values, equal_var=False).pvalue)


def _over_tasks(cells: pd.DataFrame) -> pd.DataFrame:
    tasks = len(cells[TASK].drop_duplicates())
    rows = []
    for (rule,), of_rule in sorted(groups(cells, ["rule"]), key=lambda group: rule_rank(group[0][0])):
        if rule == REFERENCE or len(of_rule) < tasks:
            continue
        both = over_tasks(of_rule["values"].tolist(), of_rule["reference"].tolist())
        verdicts = of_rule["verdict"].value_counts()
        rows.append(
            {
                **{"rule": rule, "tasks": tasks, "runs": both.advantage.n},
                **{"advantage": both.advantage.mean, "advantage_low": both.advantage.low},
                **{"advantage_high": both.advantage.high, "improvement": both.improvement.mean},
                **{"improvement_low": both.improvement.low, "improvement_high": both.improvement.high},
                **{cost: of_rule[cost].median() for cost in ("bytes_over_bptt", "time_over_bptt")},
                **{"better": verdicts.get("better", 0), "worse": verdicts.get("worse", 0)},
                "undistinguished": verdicts.get("not distinguished", 0),
            }
        )
    return pd.DataFrame(rows, columns=RULE_COLUMNS)
