"""Exceptions of the package. A usage error prints as two lines: place and fault, then a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Invalid input by the user; the command line prints the error and exits with code 2.

    Args:
        what: the fault, a clause without a full stop.
        where: `file:line:column`, a path or an option; None if the fault has no place.
        hint: the nearest valid input, printed on a second line.
    """

    def __init__(self, what: str, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what)

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        return f"{first}\n  {self.hint}" if self.hint else first


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message; an empty string if it has none."""
    return next(iter(str(error).splitlines()), "")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"?`, or the list of known names if none is similar."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"there is: {', '.join(known)}" if known else "there is none"


class DivergedError(Exception):
    """The loss is infinite or NaN."""


class StoppedError(Exception):
    """Training stopped on request; the message gives the position and whether a checkpoint was written."""
