"""Tables: rules x neurons x datasets, as aligned text, Markdown, LaTeX and CSV."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics import Interval
from throughtime.reports.cells import (
    FAILED,
    KEYS,
    NO_VALUE,
    anchor,
    groups,
    natural,
    neuron_label,
    one_line,
    rule_rank,
    rule_title,
    slug,
    summarise,
)
from throughtime.reports.planned import Planned, is_excluded, planned_cells
from throughtime.reports.quantities import INTERVAL, INTERVAL_FROM, quantity
from throughtime.spec import MEASURED_ONCE
from throughtime.whole_files import write_whole

LAYERS = "firing_rate."
"""Prefix of the firing rates of single layers."""
COST = (
    "wall_time",
    "compile_time",
    "time_over_floor",
    "peak_live_bytes",
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
REPLICATES = (
    f"In brackets: {INTERVAL}; in parentheses: the single values, of fewer than {INTERVAL_FROM} replicates that differ."
)
NOT_RUN = "no record of this cell in the results folder"
EXCLUDED = "the suite does not have this cell"


class Entry(NamedTuple):
    """One cell of a printed table."""

    text: str
    mark: str = ""
    """Letter of its footnote."""
    anchor: str = ""
    """Section of the page to link to."""


class Footnotes(dict[str, str]):
    """Letters by note; equal notes have the same letter."""

    def mark(self, note: str) -> str:
        """Return the letter of a note: a ... z, aa, ab, ...; empty for an empty note."""
        if note and note not in self:
            letters, rest = "", len(self) + 1
            while rest:
                rest, last = divmod(rest - 1, 26)
                letters = chr(ord("a") + last) + letters
            self[note] = letters
        return self[note] if note else ""


@dataclass(frozen=True)
class Table:
    """A table in wide layout, with caption, footnotes and data."""

    name: str
    """File name without ending."""
    title: str
    caption: list[str]
    """Sentences on suite, scale, protocol, n, interval and failures."""
    head: list[str]
    rows: list[list[Entry]]
    """Empty if no run has the measure; the caption then gives the reason."""
    notes: list[tuple[str, str]]
    """Letter and text."""
    long: pd.DataFrame
    """Data of the table: a row for each cell and measure."""


def render(results: Results, measure: str = "metric", form: str = "text") -> str:
    """Return the tables of one measure as one text.

    Args:
        results: of any suites.
        measure: see `summarise`.
        form: text, markdown, latex, csv or json; the last two are the long form, with all numbers unrounded.

    Raises:
        UsageError: there is no such measure.
    """
    planned, summary = planned_cells(results.frame), summarise(results.frame, measure)
    if form == "csv":
        return _csv(summary)
    if form == "json":
        return summary.to_json(orient="records", force_ascii=False, indent=2)
    write, title = {"text": text, "markdown": markdown, "latex": latex}[form], quantity(measure).title
    return "\n".join(
        write(wide(f"{slug(of)}-{scale}-{measure}", f"{title}: {of}, {scale}", rows, planned)).rstrip() + "\n"
        for (of, scale), rows in groups(summary, ["suite", "scale"])
    ).rstrip()


def tables(results: Results) -> list[Table]:
    """Return the tables of each suite and scale: the metric by both protocols, cost, and activity."""
    runs = results.frame
    cost, activity = (
        pd.concat([summarise(runs, name) for name in _there(runs, names)], ignore_index=True)
        for names in (COST, ACTIVITY)
    )
    kinds = (
        ("metric", "Accuracy and error", summarise(runs)),
        ("best-validation", "At the epoch best on validation", summarise(runs, "metric_best_validation")),
        ("cost", "Time and memory", cost),
        ("activity", "Activity", activity),
    )
    planned = planned_cells(runs)
    parts = {(of, name): part for name, _, summary in kinds for of, part in groups(summary, ["suite", "scale"])}
    return [
        wide(f"{slug(suite)}-{scale}-{name}", f"{title}: {suite}, {scale}", parts[(suite, scale), name], planned)
        for (suite, scale), _ in groups(cost, ["suite", "scale"])
        for name, title, _ in kinds
        # The table of the final epoch already gives the reason of missing values.
        if name != "best-validation" or parts[(suite, scale), name]["n"].any()
    ]


def _there(runs: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Return the recorded measures with these names; rates of layers only for several layers."""
    found: list[str] = []
    for name in names:
        there = sorted((c for c in map(str, runs) if c.startswith(name)), key=natural)
        if name == LAYERS:
            found += there if len(there) > 1 else []
        elif there or not name.startswith("peak_cuda_"):
            found.append(name)
    return found


def wide(name: str, title: str, summary: pd.DataFrame, planned: Planned) -> Table:
    """Lay out the summary of one suite: rows are dataset x neuron (x measure), columns are rules."""
    everything, absent = summary, []
    ended_ok = summary["runs"] > summary[[f"n_{status}" for status in FAILED]].sum(axis=1)
    for (measure,), cells in groups(summary, ["measure"]):
        # If `ok` runs lack the measure, the suite does not measure it: a sentence says more than a row of dashes.
        if not cells["n"].any() and ended_ok[cells.index].any():
            parts = (part for note in cells["note"] for part in note.split("; ") if part.startswith(NO_VALUE))
            reasons = "; ".join(part.removeprefix(NO_VALUE) for part in dict.fromkeys(parts))
            unmeasured = quantity(measure, cells["unit"].iloc[0]).title
            absent.append(f"Not measured here: {unmeasured} ({reasons}).")
            summary = summary[summary["measure"] != measure]
    notes, rules = Footnotes(), sorted(set(summary["rule"]), key=rule_rank)
    rows = []
    row_keys = ["suite", "scale", "measure", "dataset", "network", "neuron"]
    for (suite, scale, measure, dataset, network, neuron), of_row in groups(summary, row_keys):
        of_rule = {row["rule"]: row for _, row in of_row.iterrows()}
        label = quantity(measure, of_row["unit"].iloc[0]).label
        line = [Entry(one_line(name)) for name in (dataset, neuron_label(neuron, network), label)]
        for rule in rules:
            if rule in of_rule:
                line.append(entry(of_rule[rule], notes))
            elif is_excluded(planned, suite, scale, (rule, neuron, network, dataset)):
                line.append(Entry("—", notes.mark(EXCLUDED)))
            else:
                line.append(Entry("not run", notes.mark(NOT_RUN)))
        rows.append(line)
    head = ["dataset", "neuron", "measure", *(one_line(rule_title(rule)) for rule in rules)]
    letters = [(letter, note) for note, letter in notes.items()]
    caption = [_count(everything), *absent, *(_protocol(summary) if rows else [])]
    return Table(name, title, caption, head, rows, letters, everything)


def entry(row: pd.Series, notes: Footnotes) -> Entry:
    """Format a summary row: mean with interval or single values, failures by status, or a dash; a letter for a note."""
    parts = []
    # Measuring passes run once per cell and do not depend on the status of training.
    alone = row["measure"].startswith(MEASURED_ONCE)
    if row["n"]:
        low, high = (None, None) if pd.isna(row["low"]) else (row["low"], row["high"])
        kind = quantity(row["measure"], row["unit"])
        shown = kind.show_replicates(Interval(row["mean"], low, high, row["n"]), row["values"])
        parts.append(kind.show(row["mean"]) if alone and row["n"] == 1 else shown)
    counts = {status: row[f"n_{status}"] for status in FAILED if row[f"n_{status}"]}
    if counts != {"skipped": row["runs"]} and not (alone and row["n"]):
        parts += [f"{count}/{row['runs']} {status}" for status, count in counts.items()]
    return Entry(", ".join(parts) or "—", notes.mark(row["note"]), anchor(row[KEYS]))


def _count(summary: pd.DataFrame) -> str:
    """Return a sentence such as `Suite quick, scale laptop: 30 runs, 27 ok, 2 diverged, 1 skipped.`"""
    cells = summary.drop_duplicates(KEYS)
    counts = {status: int(cells[f"n_{status}"].sum()) for status in FAILED}
    runs = int(cells["runs"].sum())
    counted = [f"{runs - sum(counts.values())} ok", *[f"{n} {status}" for status, n in counts.items() if n]]
    first = cells.iloc[0]
    return f"Suite {first['suite']}, scale {first['scale']}: {runs} run{'s' * (runs > 1)}, {', '.join(counted)}."


def _protocol(summary: pd.DataFrame) -> list[str]:
    """Return sentences on the protocol of each measure and on the interval."""
    titles: dict[str, list[str]] = {}
    for (measure, unit, protocol), _ in groups(summary, ["measure", "unit", "protocol"]):
        titles.setdefault(protocol, []).append(quantity(measure, unit).title)
    sentences = [f"{', '.join(dict.fromkeys(names))}: {protocol}." for protocol, names in titles.items()]
    sentences = [sentence[0].upper() + sentence[1:] for sentence in sentences]
    seeds = summary.loc[[not m.startswith(MEASURED_ONCE) for m in summary["measure"]], "n"]
    if seeds.any():
        n = "–".join(map(str, dict.fromkeys((seeds[seeds > 0].min(), seeds.max()))))
        sentences.append(f"Mean of n = {n} replicates. {REPLICATES}")
    return [*sentences, "Failed runs are in no mean; they are counted by status."]


def text(table: Table) -> str:
    """Format a table as aligned plain text."""
    grid = [table.head, *[[_marked(e, "{text} [{mark}]") for e in row] for row in table.rows]]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    grid.insert(1, ["-" * width for width in widths])
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in grid]
    notes = [f"[{mark}] {note}" for mark, note in table.notes]
    return "\n".join([table.title, *table.caption, "", *(lines if table.rows else []), *notes]).strip() + "\n"


def markdown(table: Table) -> str:
    """Format a table as GitHub Markdown."""
    grid = [
        [_markdown(name) for name in table.head],
        ["---"] * len(table.head),
        *[[_marked(e, "{text} <sup>{mark}</sup>", _markdown) for e in row] for row in table.rows],
    ]
    lines = [f"| {' | '.join(row)} |" for row in grid] if table.rows else []
    notes = [f"<sup>{mark}</sup> {_markdown(note)}" for mark, note in table.notes]
    blocks = [f"**{_markdown(table.title)}.** {_markdown(' '.join(table.caption))}", "\n".join(lines), *notes]
    return "\n\n".join(block for block in blocks if block) + "\n"


def latex(table: Table) -> str:
    """Format a table as a LaTeX `table` environment, which needs booktabs, and T1 fonts for accents in labels."""
    lines = ["% needs \\usepackage{booktabs}", r"\begin{table}", r"\centering"]
    lines.append(rf"\caption{{{_latex(' '.join([table.title + '.', *table.caption]))}}}")
    lines += [rf"\label{{tab:{table.name}}}", r"\medskip"]
    if table.rows:
        mark = r"{text}\textsuperscript{{{mark}}}"
        grid = [[_marked(e, mark, _latex) for e in row] for row in table.rows]
        frame = pd.DataFrame(grid, columns=[_latex(name) for name in table.head])
        lines.append(frame.to_latex(index=False, escape=False, column_format="l" * len(table.head)).rstrip())
    notes = [rf"\textsuperscript{{{mark}}} {_latex(note)}" for mark, note in table.notes]
    if notes:
        lines += [r"\par\smallskip{\footnotesize\raggedright", *[rf"{note}\par" for note in notes], "}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def csv(table: Table) -> str:
    """Format the data of a table as CSV, in long form, unrounded, in the units of the records."""
    return _csv(table.long)


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write a table as text, Markdown, LaTeX and CSV; return the paths."""
    forms = {"txt": text(table), "md": markdown(table), "tex": latex(table), "csv": csv(table)}
    paths = []
    for ending, content in forms.items():
        paths.append(folder / f"{table.name}.{ending}")
        write_whole(paths[-1], content)
    return paths


def _csv(summary: pd.DataFrame) -> str:
    if "values" in summary:
        summary = summary.assign(values=[" ".join(f"{value!r}" for value in values) for values in summary["values"]])
    return summary.to_csv(index=False, lineterminator="\n")


def _marked(entry: Entry, form: str, escape: Callable[[str], str] = str) -> str:
    return form.format(text=escape(entry.text), mark=entry.mark) if entry.mark else escape(entry.text)


def _markdown(plain: str) -> str:
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", plain)


_LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "-": "-{}", '"': "''"},
    **{"±": r"$\pm$", "×": r"$\times$", "—": "---", "–": "--", "µ": r"$\mu$", "≤": r"$\leq$", "≥": r"$\geq$"},
}


_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu "
    "nu xi pi rho sigma tau upsilon phi chi psi omega"
)


def _latex(plain: str) -> str:
    """Escape text for LaTeX: Greek letters become maths; letters unknown to pdfLaTeX become their Unicode names."""
    return "".join(_LATEX.get(c) or (c if c.isascii() else _latex_letter(c)) for c in plain)


def _latex_letter(character: str) -> str:
    name = unicodedata.name(character, "unknown character").lower()
    greek = name.removeprefix("greek small letter ").replace("lamda", "lambda")
    if greek in _GREEK.split():
        return rf"$\{greek}$"
    return character if character.isalpha() and character < "\u0100" else rf"\textless{{}}{name}\textgreater{{}}"
