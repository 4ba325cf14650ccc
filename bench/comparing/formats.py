"""The forms in which a comparison is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Literal

from throughtime.comparing.compare import Comparison
from throughtime.comparing.markdown import markdown
from throughtime.comparing.page import html
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
            "rows": [asdict(row) for row in comparison.rows],
        }
    )


FORMS: dict[Form, Callable[[Comparison], str]] = {"text": text, "markdown": markdown, "json": as_json, "html": html}
