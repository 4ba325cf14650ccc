"""Every rule relative to BPTT: on each task, over all tasks, and its cost. The page and the table read this."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.over_tasks import over_tasks
from throughtime.reports.best import REFERENCE
from throughtime.reports.cells import KEYS, TASK, groups, rule_rank, runs_of
from throughtime.reports.rule_matrix import rule_matrix
from throughtime.reports.summaries import summarise

CELL_COLUMNS = ["suite", "scale", *TASK, "rule", "measure", "unit", "n", "mean", "difference", "verdict"]
CELL_COLUMNS += ["bytes", "bytes_over_bptt", "time_over_bptt"]
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
        `cells`: `difference` of the means; `verdict`, what `rule_matrix` says against BPTT (`against.Word`), and
        `reference` for BPTT; `bytes`, the exact peak with the input streamed; `bytes_over_bptt` and `time_over_bptt`,
        by the pass `ratio` or else of both wall times. `rules`: `advantage` and `improvement` of `over_tasks` with
        their intervals; medians over tasks of both costs; numbers of tasks by verdict. Costs that were not measured are
        NaN.
    """
    cells = rule_matrix(results, suite, scale)
    cells = cells[cells["n"] > 0].rename(columns={"peak_live_bytes_streamed": "bytes"})
    ratios = summarise(runs_of(results, suite, scale), "time_over_bptt")[[*KEYS, "mean"]]
    cells = cells.merge(ratios.rename(columns={"mean": "ratio"}), on=KEYS, how="left")
    bptt = cells[cells["rule"] == REFERENCE][[*TASK, "mean", "values", "bytes", "wall_time"]]
    cells = cells.merge(bptt, on=TASK, suffixes=("", "_bptt"))
    sign, is_bptt = np.where(cells["better"] == "higher", 1, -1), cells["rule"] == REFERENCE
    cells["difference"] = sign * (cells["mean"] - cells["mean_bptt"])
    cells["verdict"] = cells["against_bptt"].where(~is_bptt, "reference")
    cells["bytes_over_bptt"] = cells["bytes"] / cells["bytes_bptt"]
    measured = cells["ratio"].fillna(cells["wall_time"] / cells["wall_time_bptt"])
    cells["time_over_bptt"] = measured.where(~is_bptt, 1.0)
    for side in ("values", "values_bptt"):
        cells[side] = [[s * value for value in values] for s, values in zip(sign, cells[side], strict=True)]
    return Relative(cells[CELL_COLUMNS], _over_tasks(cells))


def _over_tasks(cells: pd.DataFrame) -> pd.DataFrame:
    tasks = len(cells[TASK].drop_duplicates())
    rows = []
    for (rule,), rule_cells in sorted(groups(cells, ["rule"]), key=lambda group: rule_rank(group[0][0])):
        if rule == REFERENCE or len(rule_cells) < tasks:
            continue
        both = over_tasks(rule_cells["values"].tolist(), rule_cells["values_bptt"].tolist())
        verdicts = rule_cells["verdict"].value_counts()
        rows.append(
            {
                **{"rule": rule, "tasks": tasks, "runs": both.advantage.n},
                **{"advantage": both.advantage.mean, "advantage_low": both.advantage.low},
                **{"advantage_high": both.advantage.high, "improvement": both.improvement.mean},
                **{"improvement_low": both.improvement.low, "improvement_high": both.improvement.high},
                **{cost: rule_cells[cost].median() for cost in ("bytes_over_bptt", "time_over_bptt")},
                **{"better": verdicts.get("better", 0), "worse": verdicts.get("worse", 0)},
                "undistinguished": verdicts.get("not distinguished", 0) + verdicts.get("n decides nothing", 0),
            }
        )
    return pd.DataFrame(rows, columns=RULE_COLUMNS)
