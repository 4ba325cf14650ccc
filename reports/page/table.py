"""Data of the page's interactive table: a row for each cell, a column for each label and each measure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from throughtime.records.results import KEYS, Results
from throughtime.records.statistics.interval import Interval
from throughtime.reports.best import row_marks
from throughtime.reports.cells import TASK_KEYS, anchor, natural, neuron_label, older, one_line, rule_title, runs_of
from throughtime.reports.plain_values import Row, is_missing, row_groups, rows_of
from throughtime.reports.quantities import quantity
from throughtime.reports.summaries import recorded_rows, summary_rows

MEMORY = ("peak_live_bytes_streamed", "peak_live_bytes", "peak_process_bytes")
"""Measures of memory: the first that was measured has a visible column."""
ARROWS = {"higher": "↑", "lower": "↓", "": ""}
"""Direction of improvement."""
FURTHER = ("metric_best_validation", "metric_validation", "metric_best_test")
LABELS = {name: name for name in ("suite", "scale", "dataset", "neuron", "rule")} | {
    "measured": "metric",
    "status": "runs",
}
"""Columns of text and their titles; `measured` is the name of the metric, with the direction of improvement."""
FIRST = ("rule", "metric", "dataset", "neuron", "measured", "memory", "wall_time", "suite", "status")
"""Order of the columns that are visible at first; `memory` stands for one of `MEMORY`."""


def table_data(results: Results, suites: list[tuple[str, ...]]) -> dict[str, Any]:
    """Return columns and rows for the script of the page, in the order of the suites (and their scales).

    The columns of `FIRST` are visible at first, the suite only where there are several. A column has an id, a title,
    the direction of improvement and whether it is visible at first. A row has its anchor, its labels, the indices of
    its runs, and by column `[text, number, best, note]`; a missing value has no number.
    """
    runs = runs_of(results)
    names = ["metric", *FURTHER, "wall_time", *MEMORY, "firing_rate", *_others(runs)]
    rows_by_measure = {name: recorded_rows(results, name) for name in dict.fromkeys(names)}
    summaries = {name: summary for name, summary in rows_by_measure.items() if any(row["n"] for row in summary)}
    memory = next((name for name in MEMORY if name in summaries), "")
    first = [memory if name == "memory" else name for name in FIRST if name != "suite" or len(suites) > 1]
    columns = [{"id": name, "title": title, "text": True} for name, title in LABELS.items()]
    columns += [_column(name, summary) for name, summary in summaries.items()]
    columns = [column | {"shown": column["id"] in first} for column in columns]
    columns.sort(key=lambda column: first.index(str(column["id"])) if column["shown"] else len(first))
    values = {name: _values(summary) for name, summary in summaries.items()}
    rows = []
    shared = row_groups(rows_of(runs[[*KEYS, "status", "superseded"]].assign(place=range(len(runs)))), KEYS)
    for (key, cell_runs), metric in zip(shared, summary_rows(results, "metric"), strict=True):
        suite, scale, dataset, network, neuron, rule = key
        kind = quantity(metric["measure"], metric["unit"])
        measured = f"{kind.label} {ARROWS[metric['better']]}".strip() if metric["n"] else ""
        statuses = Counter(run["status"] for run in cell_runs)
        status = ", ".join(f"{n} {status}" for status, n in statuses.most_common())
        labels = [suite, scale, dataset, neuron_label(neuron, network), rule_title(rule), measured, status]
        rows.append(
            {
                "id": anchor(key),
                "suite": suites.index((suite, scale)),
                "labels": dict(zip(LABELS, map(one_line, labels), strict=True)),
                "failed": set(statuses) != {"ok"},
                "values": {name: by_rule[key] for name, by_rule in values.items() if key in by_rule},
                "runs": [run["place"] for run in cell_runs],
                "note": f"{left_out}." if (left_out := older(cell_runs[0]["superseded"])) else "",
            }
        )
    return {"columns": columns, "rows": sorted(rows, key=lambda row: row["suite"])}


def _others(runs: pd.DataFrame) -> list[str]:
    """Return the other recorded measures, but not the parts of one for layers or groups of parameters."""
    recorded = [str(column).removeprefix("unit.") for column in runs if str(column).startswith("unit.")]
    tasks = {f"{metric}{end.removeprefix('metric')}" for metric in runs["metric"].dropna() for end in ("", *FURTHER)}
    return sorted((n for n in recorded if "." not in n and n not in tasks and n != "chance"), key=natural)


def _column(name: str, summary: list[Row]) -> dict[str, Any]:
    first = next(row for row in summary if row["n"])
    directions = {row["better"] for row in summary}
    kind = quantity(name if name.startswith("metric") else first["measure"], first["unit"])
    titles = {"metric": "result", "metric_best_validation": "result, epoch best on validation"}
    titles |= {"peak_live_bytes_streamed": "exact memory (MiB) ↓", "wall_time": "time (ms a sequence) ↓"}
    titles |= {"metric_validation": "result on validation", "metric_best_test": "result, epoch best on test"}
    arrow = f" {ARROWS[directions.pop()]}" if len(directions) == 1 else ""
    title = titles.get(name) or f"{kind.label}{arrow}"
    return {"id": name, "title": title, "text": False}


def _values(summary: list[Row]) -> dict[tuple[str, ...], list[Any]]:
    """Return `[text, number, best, note]` by the key of the cell."""
    best: set[tuple[str, ...]] = set()
    solved: dict[tuple[str, ...], str] = {}
    for key, row_cells in row_groups(summary, TASK_KEYS):
        marks = row_marks(row_cells)
        best |= {(*key, rule) for rule in marks.best}
        solved |= {(*key, rule): f"{share} solved" for rule, share in marks.solved.items()}
    texts: dict[tuple[str, ...], list[Any]] = {}
    for row in summary:
        key = tuple(row[name] for name in KEYS)
        kind, n = quantity(row["measure"], row["unit"]), int(row["n"])
        if not n:
            texts[key] = ["—", None, False, row["note"]]
            continue
        low, high = (None if is_missing(row[end]) else row[end] for end in ("low", "high"))
        interval = Interval(row["mean"], low, high, n)
        text = kind.show_replicates(interval, row["values"]) if n > 1 else kind.show(row["mean"])
        text, note = (solved[key], f"mean {text}") if key in solved else (text, "")
        notes = "; ".join(part for part in (note, row["note"]) if part)
        texts[key] = [text, float(f"{row['mean'] * kind.factor:.6g}"), key in best, notes]
    return texts
