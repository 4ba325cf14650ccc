"""Values between two numbers, for the options of a tuning: `{from: 1e-4, to: 1e-2, steps: 5, scale: log}`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from throughtime.spec import Strict

DIGITS = 4
"""Significant digits of the values between the ends."""
LARGEST = 1e100
"""Bound of the ends; a whole number of 309 digits is too large for the float that the values between are."""


class Range(Strict):
    """So many numbers from one number to another."""

    start: int | float = Field(alias="from")
    to: int | float
    steps: Annotated[int, Field(ge=2)]
    """Number of values, with both ends."""
    scale: Literal["linear", "log"] = "linear"
    """Equal differences or equal ratios."""

    def values(self) -> list[Any]:
        """Return the values: whole numbers if both ends are, otherwise with `DIGITS` digits between the ends.

        Raises:
            ValueError: an end is too large, or not positive in a range of ratios; or rounded values are equal.
        """
        if max(abs(self.start), abs(self.to)) > LARGEST:
            raise ValueError(f"a range needs ends of at most {LARGEST:g}")
        if self.scale == "log" and min(self.start, self.to) <= 0:
            raise ValueError("a range with scale: log needs ends above 0")
        numbers: list[int | float] = [self.start]
        whole = isinstance(self.start, int) and isinstance(self.to, int)
        for k in range(1, self.steps - 1):
            share = k / (self.steps - 1)
            if self.scale == "log":
                value = self.start * (self.to / self.start) ** share
            else:
                value = self.start + share * (self.to - self.start)
            numbers.append(round(value) if whole else float(f"{value:.{DIGITS}g}"))
        numbers.append(self.to)
        if len(set(numbers)) < self.steps:
            raise ValueError(f"{self.steps} steps from {self.start:g} to {self.to:g} repeat a value")
        return numbers


def listed(values: Any) -> Any:
    """Return the values of a range that is written as a mapping; anything else unchanged.

    Raises:
        ValueError: the mapping is no range; the message is one line for the author of the suite.
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
