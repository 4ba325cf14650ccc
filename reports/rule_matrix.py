"""The rules of a suite on its tasks, against BPTT and against the best; their mean ranks."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.against import RuleComparison
from throughtime.records.statistics.summary import ALPHA
from throughtime.reports.best import REFERENCE, SHARES, compare_rules, share
from throughtime.reports.cells import KEYS, TASK, extent, groups, neuron_label, one_line, rule_rank, rule_title, slug
from throughtime.reports.once import once
from throughtime.reports.plain_values import row_groups, rows_of
from throughtime.reports.quantities import quantity
from throughtime.reports.summaries import suite_summary
from throughtime.reports.table import Entry, Table

COSTS = ("peak_live_bytes_streamed", "wall_time")
COLUMNS = [
    *["suite", "scale", *TASK, "rule", "measure", "unit", "better", "mean", "sd", "low", "high", "n", "values"],
    *["replicates", "runs", "n_diverged", "chance", "solved", "best", "against_best"],
    *["against_bptt", "difference", "difference.low", "difference.high", "p", *COSTS, "edge", "note"],
]
SIGNS = {"better": "↑", "worse": "↓", "not distinguished": "≈", "n decides nothing": "?"}
"""Signs of what a comparison says."""


@once
def rule_matrix(results: Results, suite: str, scale: str) -> pd.DataFrame:
    """Compare the rules of a suite on each task with BPTT and with the best rule; see `best.compare_rules`.

    Args:
        results: of any suites.
        suite: one suite.
        scale: one of its scales.

    Returns:
        The columns `COLUMNS`, a row for each task and rule with a record of a metric that has a direction. The first
        columns are those of `summarise`. `solved` is the number of solved runs of bimodal results, NaN of others.
        `against_best` and `against_bptt` are what the comparison says (`against.Word`; empty for the rule itself and
        without a result). `difference` is that to BPTT, in the unit of the record or of shares, with its interval, and
        `p` after Holm's correction. Exact peak with the input streamed, and wall time: NaN where not measured.
    """
    costs = {cost: _means(results, suite, scale, cost) for cost in COSTS}
    rows: list[dict[Any, Any]] = []
    measured = [row for row in suite_summary(results, suite, scale) if row["better"]]
    for _, records in row_groups(measured, TASK):
        comparison = compare_rules(records)
        for row in records:
            rule, cell = row["rule"], tuple(row[key] for key in KEYS)
            more = {"solved": comparison.solved.get(rule, math.nan), "best": rule == comparison.best}
            more["against_best"] = comparison.with_best[rule].word if rule in comparison.with_best else ""
            more |= {cost: means.get(cell, math.nan) for cost, means in costs.items()}
            rows.append({**row, **more, **_difference(comparison.with_bptt.get(rule))})
    return pd.DataFrame(rows, columns=COLUMNS)


def _means(results: Results, suite: str, scale: str, cost: str) -> dict[tuple[str, ...], float]:
    """Return the mean of a cost of each cell; none if no run has it."""
    if f"unit.{cost}" not in results.frame:
        return {}
    return {tuple(row[key] for key in KEYS): row["mean"] for row in suite_summary(results, suite, scale, cost)}


def _difference(comparison: RuleComparison | None) -> dict[str, Any]:
    """Return the columns on the difference to BPTT."""
    if comparison is None:
        return {"against_bptt": ""}
    return {
        **{"against_bptt": comparison.word, "difference": comparison.difference, "p": comparison.p},
        **{"difference.low": comparison.low, "difference.high": comparison.high},
    }


def mean_ranks(matrix: pd.DataFrame) -> pd.Series:
    """Return the mean rank over all tasks, 1 for the best, of the rules with a result of each; ties share the mean of
    their ranks. Empty for a single task or rule."""
    known = matrix[matrix["n"] > 0]
    signed = known.assign(mean=known["mean"].where(known["better"] == "lower", -known["mean"]))
    means = signed.pivot(index=TASK, columns="rule", values="mean").dropna(axis="columns")
    return means.rank(axis=1).mean() if min(means.shape) > 1 else pd.Series(dtype=float)


def result_text(row: Any) -> str:
    """Return the result of a row of the matrix: the mean, or `4/5` for the solved runs of bimodal results."""
    if not math.isnan(row["solved"]):
        return share(row, row["solved"])
    return quantity(row["measure"], row["unit"]).show(row["mean"]) if row["n"] else "—"


def rule_table(results: Results, suite: str, scale: str) -> Table | None:
    """Tabulate the rules on each task with what their comparison with BPTT says, and their mean ranks.

    Args are those of `rule_matrix`; None if no task has two rules with a result.
    """
    matrix = rule_matrix(results, suite, scale)
    known = matrix if matrix.empty else matrix[matrix["n"] > 0]
    if known.empty or known.groupby(TASK)["rule"].nunique().max() < 2:
        return None
    ranks, tasks = mean_ranks(matrix), groups(matrix, TASK)
    rules = sorted(set(matrix["rule"]), key=rule_rank)
    data = rows_of(matrix)
    columns = [{row["rule"]: row for row in rows} for _, rows in row_groups(data, TASK)]
    lines = []
    for rule in rules:
        first = rule in ranks and bool(ranks[rule] == ranks.min())
        rank = Entry(f"{ranks[rule]:.2f}" if rule in ranks else "—", best=first)
        lines.append([Entry(one_line(rule_title(rule))), rank, *(_entry(column.get(rule)) for column in columns)])
    shown = [quantity(*cells[["measure", "unit"]].iloc[0]).label for _, cells in tasks]
    head = [
        f"{d} · {neuron_label(neuron, network)}, {label}"
        for ((d, network, neuron), _), label in zip(tasks, shown, strict=True)
    ]
    title = f"Rules against BPTT: {suite}, {scale}"
    name = f"{slug(suite)}-{scale}-rules"
    return Table(
        name, title, _caption(matrix, ranks, suite, scale), ["rule", "mean rank", *head], lines, [], data, labels=1
    )


def _entry(row: dict[Any, Any] | None) -> Entry:
    if row is None:
        return Entry("—")
    sign = SIGNS.get(row["against_bptt"], "")
    return Entry(f"{result_text(row)} {sign}".strip(), best=bool(row["best"]))


def _caption(matrix: pd.DataFrame, ranks: pd.Series, suite: str, scale: str) -> list[str]:
    """Return what the table says of its method."""
    known = matrix[matrix["n"] > 0]
    words = set(matrix["against_bptt"]) - {""}
    legend = ", ".join(f"{sign} {word}" for word, sign in SIGNS.items() if word in words)
    caption = [f"Suite {suite}, scale {scale}, n = {extent(known['n'])}. Bold: the best of a column."]
    if words:
        caption.append(
            f"Against {rule_title(REFERENCE)}: {legend}; Student's t test of the differences between replicates, "
            f"{100 * ALPHA:.0f} %, with Holm's correction over the rules of a column."
        )
    if matrix["solved"].notna().any():
        caption.append(SHARES)
    if len(ranks):
        left = [rule_title(rule) for rule in dict.fromkeys(matrix["rule"]) if rule not in ranks]
        without = f"; without {', '.join(left)}, which lack some" if left else ""
        caption.append(f"Mean rank: 1 is the best; over the {len(matrix[TASK].drop_duplicates())} tasks{without}.")
    return caption
