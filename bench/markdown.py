"""GitHub Markdown: text escaped, and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence


def escaped(text: str) -> str:
    """Escape text for a cell or a line of Markdown: one line, no bar, no HTML, no emphasis, no link."""
    return " ".join(re.sub(r"([\\|<>*_`\[\]])", r"\\\1", text).split())


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> str:
    """Return a table of cells that are Markdown.

    Args:
        head: names of the columns.
        rows: one text for each column.
        numbers: columns that are aligned to the right.
    """
    alignment = ["---:" if name in numbers else "---" for name in head]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, alignment, *rows))
