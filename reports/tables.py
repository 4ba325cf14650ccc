"""Tables: rules x neurons x datasets, from records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.interval import Interval
from throughtime.reports import best
from throughtime.reports.cells import (
    FAILED,
    KEYS,
    anchor,
    extent,
    natural,
    neuron_label,
    one_line,
    rule_rank,
    rule_title,
    slug,
)
from throughtime.reports.formats import long_csv, markdown, text
from throughtime.reports.latex import latex
from throughtime.reports.plain_values import Row, row_groups
from throughtime.reports.planned import PlannedLabels, exclusion, planned_cells
from throughtime.reports.quantities import quantity
from throughtime.reports.summaries import COLUMNS, NO_VALUE, further_metrics, summary_frame, summary_of, summary_rows
from throughtime.reports.table import FAILURES, REPLICATES, Entry, Footnotes, Table
from throughtime.reports.terminal_table import terminal_text
from throughtime.reports.tuning import tuning_sentence
from throughtime.spec import MEASURED_ONCE

LAYERS = "firing_rate."
"""Prefix of the firing rates of single layers."""
COST = (
    "wall_time",
    "compile_time",
    "time_over_floor",
    "peak_live_bytes",
    "peak_live_bytes_evaluation",
    "peak_allocator_bytes",
    "peak_process_bytes",
    "peak_cuda_allocated_bytes",
    "peak_cuda_reserved_bytes",
)
ACTIVITY = (
    "firing_rate",
    LAYERS,
    "activation_sparsity",
    "synaptic_operations.dense",
    "synaptic_operations.effective_macs",
    "synaptic_operations.effective_acs",
)
NOT_RUN = "no record of this cell in the results folder"


def render(results: Results, measure: str = "metric", form: str = "text", width: int | None = None) -> str:
    """Return the tables of one measure as one text.

    Args:
        results: of any suites.
        measure: see `summaries.summarise`.
        form: text, markdown, latex, csv or json; the last two are the long form, with all numbers unrounded.
        width: of the terminal that the text is for, in columns; None: lines as long as they need.

    Raises:
        UsageError: there is no such measure.
    """
    if form == "csv":
        return long_csv(summary_rows(results, measure), COLUMNS)
    if form == "json":
        return summary_of(results, measure).to_json(orient="records", force_ascii=False, indent=2)
    planned, summary = planned_cells(results.frame), summary_rows(results, measure)
    on_terminal = text if width is None else partial(terminal_text, width=width)
    write, title = {"text": on_terminal, "markdown": markdown, "latex": latex}[form], quantity(measure).title
    return "\n".join(
        write(wide(f"{slug(suite)}-{scale}-{measure}", f"{title}: {suite}, {scale}", rows, planned)).rstrip() + "\n"
        for (suite, scale), rows in row_groups(summary, ["suite", "scale"])
    ).rstrip()


def tables(results: Results) -> list[Table]:
    """Return the tables of each suite and scale: the metric by both protocols, the task's further metrics, cost, and
    activity."""
    runs = results.frame
    cost, activity = (
        [row for name in _there(runs, names) for row in summary_rows(results, name)] for names in (COST, ACTIVITY)
    )
    kinds = (
        ("metric", "Accuracy and error", summary_rows(results, "metric")),
        ("best-validation", "At the epoch best on validation", summary_rows(results, "metric_best_validation")),
        ("further", "Further metrics", further_metrics(results)),
        ("cost", "Time and memory", cost),
        ("activity", "Activity", activity),
    )
    planned, by = planned_cells(runs), ["suite", "scale"]
    parts = {(suite, name): part for name, _, rows in kinds for suite, part in row_groups(rows, by)}
    return [
        wide(f"{slug(suite)}-{scale}-{name}", f"{title}: {suite}, {scale}", parts[(suite, scale), name], planned)
        for (suite, scale), _ in row_groups(cost, by)
        for name, title, _ in kinds
        # The table of the final epoch already gives the reason of missing values; few tasks have further metrics.
        if name not in ("best-validation", "further") or any(row["n"] for row in parts.get(((suite, scale), name), ()))
    ]


def _there(runs: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Return the recorded measures with these names; rates of layers only for several layers."""
    columns: list[str] = []
    for name in names:
        there = sorted((c for c in map(str, runs) if c.startswith(name)), key=natural)
        if name == LAYERS:
            columns += there if len(there) > 1 else []
        elif there or not name.startswith("peak_cuda_"):
            columns.append(name)
    return columns


def wide(name: str, title: str, summary: list[Row], planned: PlannedLabels) -> Table:
    """Lay out the rows of the summaries of one suite: rows are dataset x neuron (x measure), columns are rules."""
    rows, absent = summary, []
    for (measure,), cells in row_groups(rows, ["measure"]):
        # If `ok` runs lack the measure, the suite does not measure it: a sentence says more than a row of dashes.
        if not any(cell["n"] for cell in cells) and any(map(_ended_ok, cells)):
            parts = (part for cell in cells for part in cell["note"].split("; ") if part.startswith(NO_VALUE))
            reasons = "; ".join(part.removeprefix(NO_VALUE) for part in dict.fromkeys(parts))
            unmeasured = quantity(measure, cells[0]["unit"]).title
            absent.append(f"Not measured here: {unmeasured} ({reasons}).")
            rows = [row for row in rows if row["measure"] != measure]
    notes, rules = Footnotes(), sorted({row["rule"] for row in rows}, key=rule_rank)
    lines, undecided, bimodal = [], [], False
    row_keys = ["suite", "scale", "measure", "dataset", "network", "neuron"]
    for (suite, scale, measure, dataset, network, neuron), row_cells in row_groups(rows, row_keys):
        by_rule = {cell["rule"]: cell for cell in row_cells}
        label = quantity(measure, row_cells[0]["unit"]).label
        line = [Entry(one_line(name)) for name in (dataset, neuron_label(neuron, network), label)]
        marks = best.row_marks(row_cells)
        bimodal |= bool(marks.solved)
        if marks.undecided:
            undecided.append(f"{line[0].text} with {line[1].text}")
        for rule in rules:
            if rule in by_rule:
                mean = entry(by_rule[rule], notes, marks.solved.get(rule, ""))
                line.append(mean._replace(best=rule in marks.best))
            elif why := exclusion(planned, suite, scale, (rule, neuron, network, dataset)):
                line.append(Entry("—", notes.mark(why)))
            else:
                line.append(Entry("not run", notes.mark(NOT_RUN)))
        lines.append(line)
    head = ["dataset", "neuron", "measure", *(one_line(rule_title(rule)) for rule in rules)]
    letters = [(letter, note) for note, letter in notes.items()]
    tuned = tuning_sentence(summary_frame(summary)) if any(row["trials"] for row in summary) else []
    caption = [_count(summary), *tuned, *absent, *(_protocol(rows) if rows else [])]
    if any(entry.best for line in lines for entry in line):
        caption.append(best.MEANING)
    if bimodal:
        caption.append(best.SHARES)
    if undecided:
        where = "here" if len(undecided) == len(lines) else f"on {', '.join(undecided)}"
        caption.append(f"n decides nothing {where}: of so few runs, no outcome could be significant.")
    return Table(name, title, caption, head, lines, letters, summary)


def _ended_ok(cell: Mapping[str, Any]) -> bool:
    return bool(cell["runs"] > sum(cell[f"n_{status}"] for status in FAILED))


def entry(row: Mapping[Any, Any], notes: Footnotes, solved: str = "") -> Entry:
    """Format a summary row: the share of solved runs of bimodal results, or the mean with interval or single values;
    failures by status, or a dash; a letter for a note."""
    # Measuring passes run once per cell and do not depend on the status of training.
    alone = row["measure"].startswith(MEASURED_ONCE)
    number, parts, remarks = "", [], []
    if row["n"]:
        low, high = (None, None) if pd.isna(row["low"]) else (row["low"], row["high"])
        kind = quantity(row["measure"], row["unit"])
        shown = kind.show_replicates(Interval(row["mean"], low, high, row["n"]), row["values"])
        parts.append(kind.show(row["mean"]) if alone and row["n"] == 1 else shown)
        spread = f" ± {kind.show_deviation(row['sd'], row['mean'])}" if len(set(row["values"])) > 1 else ""
        number, remarks = f"{kind.show(row['mean'])}{spread}", [] if alone and row["n"] == 1 else [f"n = {row['n']}"]
    if solved:
        parts, number = [solved], solved
    counts = {status: row[f"n_{status}"] for status in FAILED if row[f"n_{status}"]}
    if counts != {"skipped": row["runs"]} and not (alone and row["n"]):
        failures = [f"{count}/{row['runs']} {status}" for status, count in counts.items()]
        parts, remarks = parts + failures, remarks + failures
    remark = "; ".join(remarks) if number else ""
    return Entry(", ".join(parts) or "—", notes.mark(row["note"]), anchor(row[key] for key in KEYS), number, remark)


def _count(summary: Iterable[Row]) -> str:
    """Return a sentence such as `Suite quick, scale laptop: 30 runs, 27 ok, 2 diverged, 1 skipped.`"""
    cells = [cell_rows[0] for _, cell_rows in row_groups(summary, KEYS)]
    counts = {status: sum(cell[f"n_{status}"] for cell in cells) for status in FAILED}
    runs = sum(cell["runs"] for cell in cells)
    counted = [f"{runs - sum(counts.values())} ok", *[f"{n} {status}" for status, n in counts.items() if n]]
    first = cells[0]
    return f"Suite {first['suite']}, scale {first['scale']}: {runs} run{'s' * (runs > 1)}, {', '.join(counted)}."


def _protocol(rows: list[Row]) -> list[str]:
    """Return sentences on the protocol of each measure and on the interval."""
    titles: dict[str, list[str]] = {}
    for measure, unit, protocol in dict.fromkeys((row["measure"], row["unit"], row["protocol"]) for row in rows):
        titles.setdefault(protocol, []).append(quantity(measure, unit).title)
    sentences = [f"{', '.join(dict.fromkeys(names))}: {protocol}." for protocol, names in titles.items()]
    sentences = [sentence[0].upper() + sentence[1:] for sentence in sentences]
    if seeds := [row["n"] for row in rows if row["n"] and not row["measure"].startswith(MEASURED_ONCE)]:
        sentences += [f"Mean of n = {extent(seeds)} replicates.", REPLICATES]
    return [*sentences, FAILURES]
