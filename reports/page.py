"""The HTML page of a report: all results in one self-contained file."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup

from throughtime.records.files import LOG
from throughtime.records.record import Record
from throughtime.records.results import Results
from throughtime.reports.cells import (
    KEYS,
    anchor,
    groups,
    left_out,
    natural,
    neuron_label,
    neuron_rank,
    one_line,
    rule_rank,
    runs_of,
    summarise,
    task_metrics,
)
from throughtime.reports.formats import csv, markdown
from throughtime.reports.latex import latex
from throughtime.reports.planned import is_excluded, planned_cells
from throughtime.reports.quantities import INTERVAL, quantity, shown_in_unit, significant
from throughtime.reports.table import Footnotes, Table
from throughtime.reports.tables import NOT_RUN

SORTED_BY = ("wall_time", "peak_live_bytes", "peak_process_bytes", "firing_rate")
"""Measures with a column of the sortable table, besides the metric."""
LOG_LINES = 200
LOG_BYTES = 64 * 1024
"""Number of bytes that are read from the end of a log."""


class Figure(NamedTuple):
    """A figure for the page; without an SVG, `caption` gives the reason."""

    name: str
    title: str
    caption: Sequence[str]
    svg: str = ""
    csv: str = ""


class Value(NamedTuple):
    """A cell of the sortable table: text, sort key (empty: last), letter of its note."""

    text: str
    sort: str | float = ""
    mark: str = ""


def render(results: Results, tables: Sequence[Table], figures: Sequence[Figure]) -> str:
    """Render the page as a string.

    Args:
        results: the runs to show.
        tables: tables to show first, in this order.
        figures: figures with their SVG and CSV.
    """
    runs = runs_of(results)
    records = [results.record(run) for run in runs["id"]]
    notes = Footnotes()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(download=download, significant=significant)
    environment.filters.update(in_unit=lambda measure: shown_in_unit(measure.value, measure.unit))
    template = environment.from_string(files("throughtime.reports").joinpath("page.html").read_text("utf-8"))
    return template.render(
        suites=[(suite, scale, len(group)) for (suite, scale), group in groups(runs, ["suite", "scale"])],
        newest=max(record.started for record in records),
        statuses=runs["status"].value_counts().to_dict(),
        machines=merged(record.machine for record in records),
        versions=merged(record.versions for record in records),
        tables=[(table, {"csv": csv(table), "tex": latex(table), "md": markdown(table)}) for table in tables],
        figures=[(f, Markup(inline(f.svg, f"figure{i}"))) for i, f in enumerate(figures)],
        columns=[
            *["suite, scale", "dataset", "neuron", "rule", "metric", "mean", "interval", "n"],
            *[quantity(measure).label for measure in SORTED_BY],
            "status",
        ],
        rows=long_rows(runs, notes),
        notes=[(letter, note) for note, letter in notes.items()],
        failures=failures(runs),
        cells=cell_sections(runs, records),
        broken=sorted(results.broken),
        interval=INTERVAL,
    )


def long_rows(runs: pd.DataFrame, notes: Footnotes) -> list[tuple[str, str, list[Value]]]:
    """Return a row for each cell: its anchor, its status as CSS class, and the values of the sortable table."""
    metric = summarise(runs)
    costs = [summarise(runs, measure) for measure in SORTED_BY]
    rows = []
    for i, (_, row) in enumerate(metric.iterrows()):
        kind = quantity(row["measure"], row["unit"])
        labels = [
            f"{row['suite']}, {row['scale']}",
            row["dataset"],
            neuron_label(row["neuron"], row["network"]),
            row["rule"],
        ]
        values = [Value(one_line(label), one_line(label)) for label in (*labels, kind.label)]
        values.append(_value(row, notes))
        ends = "" if pd.isna(row["low"]) else f"{kind.show(row['low'])} to {kind.show(row['high'])}"
        values.append(
            Value(ends or (f"none (n={row['n']})" if row["n"] else "—"), "" if not ends else row["high"] - row["low"])
        )
        values.append(Value(f"{row['n']} of {row['runs']}", row["n"]))
        values += [_value(cost.iloc[i], notes) for cost in costs]
        counts = _statuses(row)
        values.append(Value(", ".join(f"{n} {status}" for status, n in counts.items()), " ".join(counts)))
        rows.append(
            (anchor(row[KEYS]), "ok" if set(counts) == {"ok"} else next(s for s in counts if s != "ok"), values)
        )
    return rows


def _value(row: pd.Series, notes: Footnotes) -> Value:
    mark = notes.mark(row["note"])
    if not row["n"]:
        return Value("—", "", mark)
    return Value(quantity(row["measure"], row["unit"]).show(row["mean"]), row["mean"], mark)


def _statuses(row: pd.Series) -> dict[str, int]:
    failed = {name.removeprefix("n_"): int(row[name]) for name in row.index if name.startswith("n_") and row[name]}
    fine = row["runs"] - sum(failed.values())
    return {**({"ok": int(fine)} if fine else {}), **failed}


def failures(runs: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Return (anchor, status, runs, reason) for all failed and skipped runs and for cells without a record."""
    found = []
    for key, of_cell in groups(runs[runs["status"] != "ok"], [*KEYS, "status", "reason"]):
        suite, scale, dataset, network, neuron, rule, status, reason = key
        replicates = ", ".join(f"#{r}" for r in of_cell["replicate"])
        which = f"{suite}, {scale}: {rule} {neuron_label(neuron, network)} {dataset} {replicates}"
        found.append((anchor(key[: len(KEYS)]), status, which, one_line(reason) or "no reason recorded"))
    planned = planned_cells(runs)
    for (suite, scale), group in groups(runs, ["suite", "scale"]):
        there = {key for key, _ in groups(group, ["dataset", "network", "neuron", "rule"])}
        lines = dict.fromkeys(key[:3] for key in there)
        wanted = {(*line, rule) for line, rule in itertools.product(lines, dict.fromkeys(group["rule"]))}
        for dataset, network, neuron, rule in sorted(wanted - there, key=_reading_order):
            if is_excluded(planned, suite, scale, (rule, neuron, network, dataset)):
                continue
            which = f"{suite}, {scale}: {rule} {neuron_label(neuron, network)} {dataset}"
            found.append(("", "not run", which, NOT_RUN))
    return found


def _reading_order(cell: tuple[str, ...]) -> list[Any]:
    dataset, network, neuron, rule = cell
    return [natural(dataset), natural(network), neuron_rank(neuron), rule_rank(rule)]


def cell_sections(runs: pd.DataFrame, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the section of each cell for the template: its runs with their logs."""
    sections = []
    for key, of_cell in groups(runs, KEYS):
        suite, scale, dataset, network, neuron, rule = key
        sections.append(
            {
                "anchor": anchor(key),
                "title": f"{rule} · {neuron_label(neuron, network)} · {dataset}",
                "where": f"suite {suite}, scale {scale}",
                "older": left_out(of_cell),
                "runs": [
                    (records[i], _result(records[i]), *tail(Path(folder) / LOG))
                    for i, folder in zip(of_cell.index, of_cell["folder"], strict=True)
                ],
            }
        )
    return sections


def _result(record: Record) -> str:
    """Format the run's metric for its headline."""
    names = [record.metric] if record.metric else task_metrics(record.measures)
    found = [(name, record.measures[name]) for name in names if name in record.measures]
    return "; ".join(f"{name} {shown_in_unit(m.value, m.unit)}" for name, m in found if m.value is not None)


def tail(path: Path, lines: int = LOG_LINES, limit: int = LOG_BYTES) -> tuple[str, str]:
    """Return the end of a log, and a note if lines were omitted; only the last `limit` bytes are read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read(limit).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return "", "there is no log"
    except OSError as error:
        return "", f"the log could not be read: {error.strerror}"
    # Remove terminal colours, and split progress bars that overwrite themselves into lines.
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n").replace("\r", "\n")
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text).splitlines()
    cut = size > limit or len(shown) > lines
    if size > limit and len(shown) > 1:
        shown = shown[1:]  # begins in the middle of a line
    return "\n".join(shown[-lines:]), f"the last {min(lines, len(shown))} lines of {size:,} byte" if cut else ""


def merged(mappings: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return a line for each key: the common value, the range of numbers, or the different values."""
    values: dict[str, list[Any]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            if value not in values.setdefault(key, []):
                values[key].append(value)
    return [(key, _merged(several)) for key, several in values.items()]


def _merged(several: list[Any]) -> str:
    numbers = [v for v in several if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(several) > 1:
        return f"{min(numbers):g} to {max(numbers):g}"
    texts = [v if isinstance(v, str) else json.dumps(v, default=str, ensure_ascii=False) for v in several]
    return "; ".join([*texts[:6], *([f"and {len(texts) - 6} more"] if len(texts) > 6 else [])])


def inline(svg: str, prefix: str) -> str:
    """Convert an SVG file to a part of a page: ids get the prefix; prolog, metadata and comments are removed."""
    svg = svg[svg.index("<svg") :] if svg else ""
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    return re.sub(r'(href="#|url\(#)', rf"\1{prefix}-", svg)


def download(content: str, kind: str) -> str:
    """Return a `data:` URL of a download, so that the page contains its data."""
    return f"data:text/{kind};charset=utf-8;base64,{base64.b64encode(content.encode()).decode()}"
