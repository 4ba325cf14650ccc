"""Exceptions of the package. A usage error prints as two lines: place and fault, then a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError

SUGGESTED = 60
"""Names that a suggestion lists at most: all rules, neurons or suites, but not all runs of a suite."""
NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


class UsageError(Exception):
    """Invalid input by the user; the command line prints the error and exits with code 2.

    Args:
        what: the fault, a clause without a full stop.
        where: `file:line:column`, a path or an option; None if the fault has no place.
        hint: the nearest valid input, printed on a second line.
    """

    def __init__(self, what: str, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        self.errors: Sequence[UsageError] = (self,)
        super().__init__(what)

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        return f"{first}\n  {self.hint}" if self.hint else first


class GroupedUsageError(UsageError):
    """Several faults of one input. Fault, place and hint are those of the first.

    Args:
        errors: the faults, at least one.

    Attributes:
        errors: the same.
    """

    def __init__(self, errors: Sequence[UsageError]) -> None:
        super().__init__(errors[0].what, errors[0].where, errors[0].hint)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(map(str, self.errors))


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return place and message of the first fault that pydantic names; the place is empty for a whole text."""
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"]


class Faults:
    """Collects usage errors of one input, so that a user sees all of them at once."""

    def __init__(self) -> None:
        self._faults: dict[str, UsageError] = {}

    def add(self, error: UsageError) -> None:
        """Add an error; equal ones count once."""
        for fault in error.errors:
            self._faults.setdefault(str(fault), fault)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Context manager that adds a UsageError raised inside."""
        try:
            yield
        except UsageError as error:
            self.add(error)

    def add_other_places(self, faults: Faults) -> None:
        """Add the errors of `faults` at other places than those found so far, such as those of another scale."""
        places = {error.where for error in self._faults.values()}
        self._faults |= {text: error for text, error in faults._faults.items() if error.where not in places}

    def together(self) -> GroupedUsageError:
        """Return the errors as one, in the order of their places; there must be at least one."""
        return GroupedUsageError(sorted(self._faults.values(), key=_line_and_column))

    def raise_all(self) -> None:
        """Raise the errors together, if there are any."""
        if self._faults:
            raise self.together()


def _line_and_column(error: UsageError) -> tuple[int, ...]:
    """Return line and column of an error whose place has the form `file:line:column`."""
    return tuple(int(part) for part in (error.where or "").split(":")[-2:] if part.isdecimal())


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception tells of a lack of memory; torch raises a RuntimeError for it."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(words in message for words in NO_MEMORY)


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message; an empty string if it has none."""
    return next(iter(str(error).splitlines()), "")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"?`, or the list of known names, at most `SUGGESTED`, if none is similar."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"there is: {first_of(known, SUGGESTED)}" if known else "there is none"


def refuse_unknown(kind: str, name: str, known: Collection[str], where: str | None = None) -> None:
    """Refuse a name that is not among the known ones.

    Args:
        kind: what it names, such as `split`.
        name: the name.
        known: all names of this kind.
        where: the place of the name, or None.

    Raises:
        UsageError: the name is unknown; the hint suggests another.
    """
    if name not in known:
        raise UsageError(f'no {kind} "{name}"', where, suggestion(name, known))


def first_of(known: Sequence[str], most: int) -> str:
    """Return at most so many of some names, separated by commas, and how many more there are."""
    more = f", and {len(known) - most} more" if len(known) > most else ""
    return f"{', '.join(known[:most])}{more}"


class DivergedError(Exception):
    """The loss, an output or a weight is infinite or NaN."""


class StoppedError(Exception):
    """Training stopped on request; the message gives the position and whether a checkpoint was written."""


def raised_at(error: BaseException, *paths: str | Path) -> str | None:
    """Return `file:line` of the deepest frame of a traceback in one of these files; None if there is none."""
    place = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else None
    files, trace = {str(path) for path in paths}, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
