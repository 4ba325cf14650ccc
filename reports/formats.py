"""Formats of a table: aligned text, Markdown and CSV, and its files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from csv import writer as csv_writer
from pathlib import Path
from typing import Any

import pandas as pd

from throughtime.markdown import escaped
from throughtime.markdown import table as markdown_table
from throughtime.reports.latex import latex
from throughtime.reports.plain_values import Row
from throughtime.reports.table import Entry, Table
from throughtime.whole_files import write_whole

FORMULA = frozenset("=+-@\t\r")
"""First characters of a text that a spreadsheet takes for a formula."""


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
    rows = [[_marked(entry, "{text} <sup>{mark}</sup>", _bold(entry)) for entry in row] for row in table.rows]
    lines = markdown_table([*map(escaped, table.head)], rows) if rows else ""
    notes = [f"<sup>{mark}</sup> {escaped(note)}" for mark, note in table.notes]
    blocks = [f"**{escaped(table.title)}.** {escaped(' '.join(table.caption))}", lines, *notes]
    return "\n\n".join(block for block in blocks if block) + "\n"


def csv(table: Table) -> str:
    """Format the data of a table as CSV, in long form, unrounded, in the units of the records."""
    return long_csv(table.data)


def long_csv(data: Sequence[Row], names: Sequence[str] = ()) -> str:
    """Format data in long form as CSV; single values, and numbers of replicates, are separated by spaces.

    Args:
        data: rows with the same columns.
        names: the columns, for data that may have no rows.
    """
    columns = {name: [row[name] for row in data] for name in (data[0] if data else names)}
    for name in ("values", "replicates"):
        if name in columns:
            columns[name] = [" ".join(map(repr, values)) for values in columns[name]]
    return _written(columns)


def csv_of(data: pd.DataFrame) -> str:
    """Format data as CSV with the same line ends on all systems, a missing value as nothing. A text that a spreadsheet
    would compute as a formula begins with an apostrophe."""
    return _written({str(name): column.tolist() for name, column in data.items()})


def _written(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns as CSV; `DataFrame.to_csv` takes five times as long for a table of some rows."""
    file = io.StringIO()
    writer = csv_writer(file, lineterminator="\n")
    writer.writerow(map(_quoted, columns))
    writer.writerows(zip(*(map(_quoted, column) for column in columns.values()), strict=True))
    return file.getvalue()


def _quoted(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value[:1] in FORMULA and not _is_number(value) else value
    return "" if value is None or value != value else value  # None or NaN


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


FORMS: dict[str, Callable[[Table], str]] = {"txt": text, "md": markdown, "tex": latex, "csv": csv}
"""Writers of a table, by the ending of its file."""


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write a table in each form; return the paths. Tables are not flushed to disk, since records give them again."""
    paths = [folder / f"{table.name}.{ending}" for ending in FORMS]
    for path, form in zip(paths, FORMS.values(), strict=True):
        write_whole(path, form(table), lasting=False)
    return paths


def _marked(entry: Entry, form: str, escape: Callable[[str], str] = str) -> str:
    return form.format(text=escape(entry.text), mark=entry.mark) if entry.mark else escape(entry.text)


def _bold(entry: Entry) -> Callable[[str], str]:
    return (lambda plain: f"**{escaped(plain)}**") if entry.best else escaped
