"""Formats of a table: aligned text, Markdown and CSV, and its files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from throughtime.reports.latex import latex
from throughtime.reports.table import Entry, Table
from throughtime.whole_files import write_whole


def text(table: Table) -> str:
    """Format a table as aligned plain text."""
    grid = [table.head, *[[_marked(e, "{text} [{mark}]") for e in row] for row in table.rows]]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    grid.insert(1, ["-" * width for width in widths])
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in grid]
    notes = [f"[{mark}] {note}" for mark, note in table.notes]
    return "\n".join([table.title, *table.caption, "", *(lines if table.rows else []), *notes]).strip() + "\n"


def markdown(table: Table) -> str:
    """Format a table as GitHub Markdown; the best entries of a row are bold."""
    grid = [
        [_escaped(name) for name in table.head],
        ["---"] * len(table.head),
        *[[_marked(e, "{text} <sup>{mark}</sup>", _bold(e)) for e in row] for row in table.rows],
    ]
    lines = [f"| {' | '.join(row)} |" for row in grid] if table.rows else []
    notes = [f"<sup>{mark}</sup> {_escaped(note)}" for mark, note in table.notes]
    blocks = [f"**{_escaped(table.title)}.** {_escaped(' '.join(table.caption))}", "\n".join(lines), *notes]
    return "\n\n".join(block for block in blocks if block) + "\n"


def csv(table: Table) -> str:
    """Format the data of a table as CSV, in long form, unrounded, in the units of the records."""
    return long_csv(table.long)


def long_csv(data: pd.DataFrame) -> str:
    """Format data in long form as CSV with the same line ends on all systems; single values are separated by spaces."""
    if "values" in data:
        data = data.assign(values=[" ".join(f"{value!r}" for value in values) for values in data["values"]])
    return data.to_csv(index=False, lineterminator="\n")


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write a table as text, Markdown, LaTeX and CSV; return the paths."""
    forms = {"txt": text(table), "md": markdown(table), "tex": latex(table), "csv": csv(table)}
    paths = []
    for ending, content in forms.items():
        paths.append(folder / f"{table.name}.{ending}")
        write_whole(paths[-1], content)
    return paths


def _marked(entry: Entry, form: str, escape: Callable[[str], str] = str) -> str:
    return form.format(text=escape(entry.text), mark=entry.mark) if entry.mark else escape(entry.text)


def _bold(entry: Entry) -> Callable[[str], str]:
    return (lambda plain: f"**{_escaped(plain)}**") if entry.best else _escaped


def _escaped(plain: str) -> str:
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", plain)
