"""Comparisons as plain text for the terminal."""

from __future__ import annotations

import io
import shutil
import sys

from rich.console import Console
from rich.table import Table

from throughtime.comparing.compare import Comparison
from throughtime.comparing.wording import Line, by_metric, headline, line_of, provenance, remarks, sections, unchanged

WIDTH = 160
"""Characters per line if the output is not a terminal."""


def text(comparison: Comparison) -> str:
    """Return the same sections as the Markdown, never shortened, as wide as the terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    console = Console(file=io.StringIO(), width=width)
    for title, rows in sections(comparison).items():
        table = Table(*Line._fields, box=None, pad_edge=False, title=f"{title} ({len(rows)})", title_justify="left")
        for column in table.columns:
            column.overflow = "fold"
        for row in rows:
            table.add_row(*line_of(row))
        console.print(table, markup=False, highlight=False)
        console.print()
    same = unchanged(comparison)
    lines = [f"Unchanged ({len(same)}): {by_metric(same)}" if same else "", *remarks(comparison)]
    lines += [f"Base: {provenance(comparison.base)}", f"New: {provenance(comparison.new)}"]
    lines += [f"Run these cells again: {command}" for command in comparison.rerun()]
    for line in [*filter(None, lines), headline(comparison)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().rstrip("\n")
