"""Steps of a window that execute the same operations: a count of memory executes only those that may differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_left_out: ContextVar[bool] = ContextVar("alike steps are left out", default=False)


@contextmanager
def without_alike_steps() -> Iterator[None]:
    """Leave out the steps of each window that execute the operations of the step before, on the same memory.

    The bytes that are live at the peak stay the same, since no such step raises it; a count then takes as long for
    1000 steps as for 4. Values do not: rows of the steps that are left out repeat an earlier one (`fill_left_out`).
    """
    token = _left_out.set(True)
    try:
        yield
    finally:
        _left_out.reset(token)


def steps_to_execute(steps: int) -> Sequence[int]:
    """Return the steps of a window to execute: all, or without alike ones the first two, and the last, which may have a
    target."""
    return (0, 1, steps - 1) if _left_out.get() and steps > 3 else range(steps)


def fill_left_out(*windows: Tensor) -> None:
    """Give the steps that are left out the values of step 1, in windows [steps, ...]; NaN would spread from memory that
    nothing has written. Windows of at most 3 steps have no such rows."""
    if _left_out.get():
        for rows in windows:
            if len(rows) > 3:
                rows[2:-1] = rows[1]
