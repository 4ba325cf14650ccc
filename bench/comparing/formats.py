"""The forms in which a comparison is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Literal

from jinja2 import Environment, StrictUndefined

from throughtime.comparing import wording
from throughtime.comparing.compare import Comparison
from throughtime.comparing.markdown import markdown
from throughtime.comparing.rows import Row
from throughtime.comparing.text import text

Form = Literal["text", "markdown", "json", "html"]


def as_json(comparison: Comparison) -> str:
    """Return a JSON object; `rows` has an object for each row, with the fields of `Row`."""
    return json.dumps(
        {
            "exit_code": comparison.exit_code,
            "counts": comparison.counts,
            "base": comparison.base.name,
            "new": comparison.new.name,
            "changed": comparison.changed,
            "ungated": comparison.ungated,
            "rerun": comparison.rerun(),
            "rows": [vars(row) for row in comparison.rows],
        }
    )


def html(comparison: Comparison) -> str:
    """Return one HTML file without outside resources, with the same sections as the Markdown, never shortened."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(
        resources.files("throughtime.comparing").joinpath("page.html").read_text("utf-8")
    )
    same = wording.unchanged(comparison)
    return template.render(
        headline=wording.headline(comparison),
        exit_code=comparison.exit_code,
        columns=wording.Line._fields,
        numbers=wording.NUMBERS,
        sections={
            title: [(_colour(row), wording.line_of(row)._asdict()) for row in rows]
            for title, rows in wording.sections(comparison).items()
        },
        rerun=comparison.rerun(),
        unchanged=len(same),
        unchanged_by_metric=wording.by_metric(same),
        base=wording.provenance(comparison.base),
        new=wording.provenance(comparison.new),
        remarks=list(wording.remarks(comparison)),
    )


def _colour(row: Row) -> str:
    return row.severity or ("good" if row.verdict in ("better", "fixed") else "")


FORMS: dict[Form, Callable[[Comparison], str]] = {"text": text, "markdown": markdown, "json": as_json, "html": html}
