"""A table on a terminal: rules are rows where they outnumber the tasks, cells are short, and no line is too long."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from throughtime.reports import best
from throughtime.reports.table import FAILURES, REPLICATES, Entry, Table

GAP = 2
SPREAD = "±: standard deviation of the replicates; `--json` and `--format csv` have intervals and single values."
LEGEND = {REPLICATES: SPREAD, best.MEANING: ""}
"""Sentences of a caption that say something else on a terminal, or nothing."""


class _Column(NamedTuple):
    head: tuple[str, ...]
    """Lines of the heading."""
    cells: list[str]

    @property
    def width(self) -> int:
        return max(map(len, (*self.head, *self.cells)))


def terminal_text(table: Table, width: int) -> str:
    """Format a table for a terminal of a width in columns. Columns that do not fit follow in further blocks."""
    labels = range(table.labels)
    common = [i for i in labels if len({row[i].text for row in table.rows}) == 1]
    own = [i for i in labels if i not in common] or [0]
    rules = table.head[table.labels :]
    if len(rules) > len(table.rows):
        heads = [tuple(row[i].text for i in own) for row in table.rows]
        named = [_Column((*[""] * (len(own) - 1), "rule"), rules)]
        values = [
            _Column(head, [_short(entry) for entry in row[table.labels :]])
            for head, row in zip(heads, table.rows, strict=True)
        ]
    else:
        named = [_Column((table.head[i],), [row[i].text for row in table.rows]) for i in own]
        values = [
            _Column((rule,), [_short(row[table.labels + j]) for row in table.rows]) for j, rule in enumerate(rules)
        ]
    same = ", ".join(table.rows[0][i].text for i in common if i not in own) if table.rows else ""
    title = f"{table.title}: {same}" if same else table.title
    failed = any(_failures(entry) for row in table.rows for entry in row)
    spread = any("±" in cell for column in values for cell in column.cells)
    caption = [LEGEND.get(sentence, sentence) for sentence in table.caption]
    unused = {"", *([] if spread else [SPREAD]), *([] if failed else [FAILURES])}
    caption = [sentence for sentence in caption if sentence not in unused]
    notes = [f"[{mark}] {note}" for mark, note in table.notes]
    paragraphs = [title, " ".join(caption), "", *_blocks(named, values, width), *notes]
    lines = [line for text in paragraphs for line in (_wrapped(text, width) if "\n" not in text else [text])]
    return "\n".join(lines).rstrip() + "\n"


def _blocks(named: Sequence[_Column], values: Sequence[_Column], width: int) -> list[str]:
    """Return the text of each block: the columns of names, and as many columns of values as fit, one at least."""
    room = width - sum(column.width + GAP for column in named)
    blocks: list[list[_Column]] = []
    left = 0
    for column in values:
        if not blocks or column.width > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= column.width + GAP
    return [_grid([*named, *block]) + "\n" for block in blocks]


def _grid(columns: Sequence[_Column]) -> str:
    lines = [[column.head[i] for column in columns] for i in range(len(columns[0].head))]
    lines.append(["-" * column.width for column in columns])
    lines += map(list, zip(*(column.cells for column in columns), strict=True))
    widths = [column.width for column in columns]
    gap = " " * GAP
    return "\n".join(
        gap.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _short(entry: Entry) -> str:
    """Return mean and deviation, failures by status, and the letter of the note."""
    text = " ".join([entry.number, *(f"({part})" for part in _failures(entry))]) if entry.number else entry.text
    return f"{text} [{entry.mark}]" if entry.mark else text


def _failures(entry: Entry) -> list[str]:
    """Return the numbers of failed runs by status."""
    return [part for part in entry.remark.split("; ") if part and not part.startswith("n = ")]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  " if text.startswith("[") else "") or [""]
