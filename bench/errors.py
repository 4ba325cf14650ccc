"""Wrong use, told in one or two lines: what is wrong, where, and the nearest right thing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """The caller asked for something that cannot be; the command line prints it and exits with 2.

    Args:
        what: what is wrong, a clause without a full stop.
        where: `file:line:column`, a path or an option, if there is one to name.
        hint: the nearest right thing; shown on a line of its own.
    """

    def __init__(self, what: str, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what)

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        return f"{first}\n  {self.hint}" if self.hint else first


def first_line(error: BaseException) -> str:
    """What an exception says, cut to its first line; nothing if it says nothing."""
    return next(iter(str(error).splitlines()), "")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"?`, or the list of what there is when nothing is near."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"there is: {', '.join(known)}" if known else "there is none"


class DivergedError(Exception):
    """The loss is no longer a finite number."""


class StoppedError(Exception):
    """Training was asked to stop and did; the message says where, and whether it can go on from there."""
