"""Values between two numbers, for the options of a tuning: `{from: 1e-4, to: 1e-2, steps: 5, scale: log}`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from throughtime.spec import Span, Strict

DIGITS = 4
"""Significant digits of the values between the ends."""
LARGEST = 1e100
"""Bound of the ends; a whole number of 309 digits is too large for the float that the values between are."""


class Range(Strict):
    """The numbers from one number to another, or so many of them."""

    start: int | float = Field(alias="from")
    to: int | float
    scale: Literal["linear", "log"] = "linear"
    """Equal differences or equal ratios."""
    steps: Annotated[int, Field(ge=2)] | None = None
    """Number of values, with both ends; null: all numbers between."""

    def values(self) -> list[Any] | Span:
        """Return the values: whole numbers if both ends are, otherwise with `DIGITS` digits between the ends; without
        steps the span.

        Raises:
            ValueError: an end is too large, or not positive in a range of ratios; or rounded values are equal.
        """
        if max(abs(self.start), abs(self.to)) > LARGEST:
            raise ValueError(f"a range needs ends of at most {LARGEST:g}")
        if self.scale == "log" and min(self.start, self.to) <= 0:
            raise ValueError("a range with scale: log needs ends above 0")
        span = Span(low=min(self.start, self.to), high=max(self.start, self.to), scale=self.scale)
        if self.steps is None:
            if self.start == self.to:
                raise ValueError("a range needs two ends that differ")
            return span
        numbers: list[int | float] = [self.start]
        for k in range(1, self.steps - 1):
            share = k / (self.steps - 1)
            if self.scale == "log":
                value = self.start * (self.to / self.start) ** share
            else:
                value = self.start + share * (self.to - self.start)
            numbers.append(rounded(span, value))
        numbers.append(self.to)
        if len(set(numbers)) < self.steps:
            raise ValueError(f"{self.steps} steps from {self.start:g} to {self.to:g} repeat a value")
        return numbers


def is_whole(span: Span) -> bool:
    """Return whether the numbers of a span are whole: both of its ends are."""
    return isinstance(span.low, int) and isinstance(span.high, int)


def rounded(span: Span, value: float) -> int | float:
    """Return a number of a span as trials show it: a whole number, or with `DIGITS` digits, between the ends."""
    if is_whole(span):
        return round(value)
    return min(max(float(f"{value:.{DIGITS}g}"), span.low), span.high)


def listed(values: Any) -> Any:
    """Return the values of a range that is written as a mapping, see `Range.values`; anything else unchanged.

    Raises:
        ValueError: the mapping is not a range; the message is one line for the author of the suite.
    """
    if not isinstance(values, dict):
        return values
    try:
        return Range.model_validate(values).values()
    except pydantic.ValidationError as error:
        fault = min(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
        words = {"extra_forbidden": "is no key of a range", "missing": "is missing"}
        what = words.get(fault["type"], fault["msg"].lower())
        example = "{from: 1e-4, to: 1e-2, steps: 5, scale: log}"
        raise ValueError(f'a range is {example}; "{fault["loc"][0]}" {what}') from error
