"""The README: its table is that of the committed baseline, and it stays short."""

from __future__ import annotations

from pathlib import Path

from throughtime.records.baselines import BASELINES, baseline_path, unpack
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.tables import render

ROOT = Path(__file__).parents[2]


def rows(markdown: str) -> list[str]:
    """The rows of the results of a table in Markdown, without emphasis and marks of footnotes."""
    # Only a journal, which a baseline lacks, says that the suite excludes a cell.
    plain = markdown.replace("**", "").replace(" <sup>a</sup>", "").replace("| not run |", "| — |")
    return [line for line in plain.splitlines() if line.startswith(("| adding |", "| digits |"))]


def test_the_table_is_that_of_the_baseline(tmp_path):
    unpack(baseline_path("quick", "laptop", ROOT / BASELINES), Store(tmp_path))
    table = rows(render(Results.load(tmp_path, ["quick"]), form="markdown"))
    assert len(table) == 6
    assert rows((ROOT / "README.md").read_text("utf-8")) == table


def test_it_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
