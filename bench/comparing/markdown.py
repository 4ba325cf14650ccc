"""A comparison as Markdown, for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from throughtime.comparing import wording
from throughtime.comparing.compare import Comparison
from throughtime.comparing.rows import Row
from throughtime.markdown import code_block, escaped, table

TAG = "<!-- throughtime compare -->"
"""First line of the text, by which a bot finds its comment and replaces it."""
MOST_CHARACTERS = 60_000
"""Largest length of the text; GitHub's limit is 65 536."""


def markdown(comparison: Comparison, most: int = MOST_CHARACTERS) -> str:
    """Return the report, shortened in steps until it fits; every step has the verdicts.

    Args:
        comparison: a comparison with any number of rows.
        most: largest number of characters.

    The steps: everything; improvements, unclear and incomparable rows as counts; no reasons; cells listed by verdict
    and metric; the number of cells by verdict and metric, a line each.
    """
    for shorten in (_full, _regressions_alone, _without_reasons, _lists, _numbers):
        text = "\n\n".join([TAG, f"### throughtime: {wording.headline(comparison)}", *shorten(comparison)]) + "\n"
        if len(text) <= most:
            return text
    return text[:most]


def _full(comparison: Comparison) -> list[str]:
    parts = [_section(title, rows, _table) for title, rows in wording.sections(comparison).items()]
    return [*parts, *_rerun(comparison), _unchanged(comparison), *_footer(comparison)]


def _regressions_alone(comparison: Comparison) -> list[str]:
    parts = _counted_but(comparison, _table)
    return [*parts, _cut("rows without regressions are counted only"), *_rerun(comparison), *_footer(comparison)]


def _without_reasons(comparison: Comparison) -> list[str]:
    return [*_counted_but(comparison, _short_table), _cut("reasons and intervals are left out")]


def _counted_but(comparison: Comparison, show: Callable[[Sequence[Row]], str]) -> list[str]:
    """Return a table of the regressions, and counts of all other sections."""
    return [
        _section(title, rows, show if title == "Regressions" else lambda those: f"{escaped(wording.by_metric(those))}.")
        for title, rows in wording.sections(comparison).items()
    ]


def _lists(comparison: Comparison) -> list[str]:
    return [_by_verdict(comparison, lambda rows: ", ".join(row.label for row in rows)), _cut("numbers are left out")]


def _numbers(comparison: Comparison) -> list[str]:
    return [_by_verdict(comparison, lambda rows: f"{len(rows)} cells"), _cut("the names of cells are left out")]


def _by_verdict(comparison: Comparison, show: Callable[[Sequence[Row]], str]) -> str:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in comparison.rows:
        if row.verdict in wording.SECTIONS["Regressions"]:
            groups.setdefault((row.verdict, row.metric), []).append(row)
    return "\n".join(
        f"- **{verdict}**, {escaped(metric)}: {escaped(show(rows))}" for (verdict, metric), rows in groups.items()
    )


def _section(title: str, rows: Sequence[Row], show: Callable[[Sequence[Row]], str]) -> str:
    return f"#### {title} ({len(rows)})\n\n{show(rows)}"


def _table(rows: Sequence[Row], columns: int = len(wording.Line._fields)) -> str:
    lines = [[*map(escaped, wording.line_of(row)[:columns])] for row in rows]
    return table(wording.Line._fields[:columns], lines, wording.NUMBERS)


def _short_table(rows: Sequence[Row]) -> str:
    return _table(rows, wording.Line._fields.index("difference"))


def _rerun(comparison: Comparison) -> list[str]:
    commands = comparison.rerun()
    return [f"Run these cells again:\n\n{code_block(commands)}"] if commands else []


def _unchanged(comparison: Comparison) -> str:
    rows = wording.unchanged(comparison)
    cells = escaped(", ".join(dict.fromkeys(row.label for row in rows)))
    summary = f"<details><summary>{len(rows)} unchanged</summary>"
    return "\n\n".join([summary, escaped(wording.by_metric(rows)), f"Cells: {cells}", "</details>"])


def _footer(comparison: Comparison) -> list[str]:
    sides = [
        f"{name}: {wording.provenance(side)}" for name, side in (("Base", comparison.base), ("New", comparison.new))
    ]
    return [escaped(text) for text in (*wording.remarks(comparison), *sides)]


def _cut(what: str) -> str:
    return f"*Shortened: {what}. `throughtime compare` prints all of it.*"
