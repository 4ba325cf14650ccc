"""A comparison as one HTML file without outside resources."""

from __future__ import annotations

from importlib import resources

from jinja2 import Environment, StrictUndefined

from throughtime.comparing.compare import Comparison
from throughtime.comparing.rows import Row
from throughtime.comparing.wording import (
    NUMBERS,
    Line,
    by_metric,
    headline,
    line_of,
    provenance,
    remarks,
    sections,
    unchanged,
)


def html(comparison: Comparison) -> str:
    """Return the page, with the same sections as the Markdown, never shortened."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(
        resources.files("throughtime.comparing").joinpath("page.html").read_text("utf-8")
    )
    same = unchanged(comparison)
    return template.render(
        headline=headline(comparison),
        exit_code=comparison.exit_code,
        columns=Line._fields,
        numbers=NUMBERS,
        sections={
            title: [(_colour(row), line_of(row)._asdict()) for row in rows]
            for title, rows in sections(comparison).items()
        },
        rerun=comparison.rerun(),
        unchanged=len(same),
        unchanged_by_metric=by_metric(same),
        base=provenance(comparison.base),
        new=provenance(comparison.new),
        remarks=list(remarks(comparison)),
    )


def _colour(row: Row) -> str:
    return row.severity or ("good" if row.verdict in ("better", "fixed") else "")
