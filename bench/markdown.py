"""GitHub Markdown: text escaped, and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from throughtime.printing import printable


def escaped(text: str) -> str:
    """Escape text for a cell or a line of Markdown: one line, no bar, no HTML, no emphasis, no link, no mention."""
    text = " ".join(re.sub(r"([\\|<>*_`\[\]])", r"\\\1", printable(text)).split())
    return text.replace("@", "@&#8203;")  # a space without width: GitHub notifies nobody


def code_block(lines: Sequence[str]) -> str:
    """Return a block of commands, with a fence that no line can close."""
    text = printable("\n".join(lines))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}sh\n{text}\n{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> str:
    """Return a table of cells that are Markdown.

    Args:
        head: names of the columns.
        rows: one text for each column.
        numbers: columns that are aligned to the right.
    """
    alignment = ["---:" if name in numbers else "---" for name in head]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, alignment, *rows))
