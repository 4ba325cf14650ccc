"""Text for a terminal: what comes from files, labels, plugins and schedulers cannot control it."""

from __future__ import annotations

import re
from typing import Any, TextIO

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters except tabs and ends of lines, and marks that change the direction of writing or end a line."""


def printable(text: str) -> str:
    """Return text with a visible escape sequence, such as `\\x1b`, in place of each unprintable character."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def print_text(*parts: Any, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Print as `print` does, with `printable` text."""
    print(printable(sep.join(map(str, parts))), end=end, file=file, flush=flush)
