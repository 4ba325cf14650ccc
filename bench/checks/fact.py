"""Facts, and the results of evaluating them on components."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from throughtime.errors import first_line
from throughtime.registry import Component

Verdict = Literal["holds", "fails", "warns", "does not apply"]


class Observed(NamedTuple):
    """The value of a fact for a component."""

    value: float
    """Largest error, number of faults, or bytes a step; smaller is better."""
    note: str = ""


class DoesNotApplyError(Exception):
    """The fact does not apply to the component; the message is the reason."""


class UnknownError(Exception):
    """Nothing is known that the fact could compare with; the message, a warning, says of what."""


class Fact(NamedTuple):
    """A property that must hold of a component."""

    name: str
    bound: float
    """Largest value at which it holds."""
    find: Callable[[Component], Observed]
    """Raises DoesNotApplyError; any other error means that the fact does not hold."""


class CheckResult(NamedTuple):
    """The result of evaluating a fact on a component: one row of the output."""

    kind: str
    component: str
    fact: str
    value: float | None
    bound: float
    verdict: Verdict
    note: str

    def row(self) -> dict[str, Any]:
        """Return the row for JSON, which cannot store a value that is not finite: it is null, and the note names it."""
        finite = self.value is None or math.isfinite(self.value)
        return {**self._asdict(), "value": self.value if finite else None}

    def shown(self) -> dict[str, str]:
        """Return the row for the printed table."""
        value = "—" if self.value is None else f"{self.value:.2g}"
        return {
            "component": self.component,
            "fact": self.fact,
            "found": value,
            "bound": f"{self.bound:g}",
            "verdict": self.verdict,
            "note": self.note,
        }


def evaluate(fact: Fact, component: Component) -> CheckResult:
    """Evaluate a fact on a component."""

    def finding(value: float | None, verdict: Verdict, note: str) -> CheckResult:
        return CheckResult(component.kind, component.name, fact.name, value, fact.bound, verdict, note)

    try:
        value, note = fact.find(component)
    except DoesNotApplyError as reason:
        return finding(None, "does not apply", str(reason))
    except UnknownError as warning:
        return finding(None, "warns", str(warning))
    except Exception as error:  # a component may raise any error; the fact then fails
        return finding(None, "fails", f"{type(error).__name__}: {first_line(error)}")
    if not math.isfinite(value):
        return finding(value, "fails", f"the value found is {value}; {note}".removesuffix("; "))
    return finding(value, "holds" if value <= fact.bound else "fails", note)


def worst_of(cases: Iterable[tuple[str, Any]], find: Callable[[str, Any], tuple[str, float]], nothing: str) -> Observed:
    """Return the largest value that `find` returns of named things, without those to which the fact does not apply.

    Raises:
        DoesNotApplyError: it applies to none; the reason is that of the last, or `nothing`.
    """
    values, reason = [], nothing
    for name, thing in cases:
        try:
            values.append(find(name, thing))
        except DoesNotApplyError as error:
            reason = str(error)
    return worst(values, reason)


def worst(named_values: Iterable[tuple[str, float]], nothing: str) -> Observed:
    """Return the largest of named values (NaN counts as larger than any), with its name as the note.

    Raises:
        DoesNotApplyError: there are no values; `nothing` is the reason.
    """
    values = list(named_values)
    if not values:
        raise DoesNotApplyError(nothing)
    name, value = max(values, key=lambda pair: math.inf if math.isnan(pair[1]) else pair[1])
    if len(values) == 1:
        return Observed(value, name)
    return Observed(value, f"{name}, {'the worst' if value else 'one'} of {len(values)}")
