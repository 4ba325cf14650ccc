"""A table as data: entries, footnotes and the long form behind them. `formats` and `latex` write it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from throughtime.reports.plain_values import Row
from throughtime.reports.quantities import INTERVAL, INTERVAL_FROM

REPLICATES = (
    f"In brackets: {INTERVAL}; in parentheses: the single values, of fewer than {INTERVAL_FROM} replicates that differ."
)
"""Sentence of captions; LaTeX has the standard deviation in place of both."""
FAILURES = "Means exclude failed runs, which are counted by status."


class Entry(NamedTuple):
    """One cell of a printed table."""

    text: str
    mark: str = ""
    """Letter of its footnote."""
    anchor: str = ""
    """Section of the page to link to."""
    number: str = ""
    """The number for LaTeX, such as `93.2 ± 1.1` with the standard deviation; empty without one."""
    remark: str = ""
    """n and failures, which LaTeX has in the caption or in a footnote."""
    best: bool = False
    """Whether it is the best of its row, or cannot be distinguished from the best."""


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
    data: Sequence[Row]
    """Data of the table: a row for each cell and measure, all with the same columns."""
    labels: int = 3
    """Number of leading columns that name the row."""

    @functools.cached_property
    def long(self) -> pd.DataFrame:
        """The data as a frame."""
        return pd.DataFrame(list(self.data))
