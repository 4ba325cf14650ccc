"""Repetition of a recorded training by today's code, up to one row of its learning curve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from throughtime.errors import UsageError
from throughtime.records.baselines import rounded
from throughtime.records.record import Record
from throughtime.records.store import Store, read_curve
from throughtime.running.assembly import read_result
from throughtime.running.engine import Engine, PassJob
from throughtime.running.plan import data_changed, plan, prepare_data

UPDATES = 20
"""Number of updates after which an evaluation is compared."""
POLL_SECONDS = 0.1
ELSEWHERE = ("timeout", "oom", "killed")
"""States of a training that say nothing about its numbers."""
UNEQUAL = ("seconds",)
"""Columns that differ between any two runs."""


class NotHereError(UsageError):
    """This machine cannot repeat a run: its data or device are missing, or a limit was exceeded."""


def compared_row(curve: list[dict[str, Any]]) -> int:
    """Return the number of the first row with `UPDATES` updates, from 1; that of the last row if none has so many."""
    return next((n for n, row in enumerate(curve, start=1) if row.get("updates", 0) >= UPDATES), len(curve))


def repeated_row(record: Record, rows: int, engine: Engine, folder: Path) -> dict[str, Any]:
    """Train the run of a record with today's code and all its settings, and stop after a row of its learning curve.

    Args:
        record: the record.
        rows: number of the row, from 1.
        engine: runs the training.
        folder: an empty results folder.

    Returns:
        The row.

    Raises:
        NotHereError: data or device of the record are not on this machine, or the training exceeded a limit.
        UsageError: today's code refuses the run, or the training ended before the row.
    """
    from throughtime.harness.device import name_of  # imports torch

    store, spec = Store(folder), record.spec
    (planned,) = plan([spec], store)
    if planned.unsupported:
        raise UsageError(planned.unsupported)
    try:
        prepare_data([planned])
        if changed := data_changed(record):
            raise UsageError(changed)
        if (device := record.machine.get("device", "cpu")) != name_of(spec.device):
            raise UsageError(f"it ran on {device}")
        work = store.work_folder(spec.suite, planned.id)
        work.mkdir(parents=True)
        engine.start(PassJob(planned, "train", work))
    except UsageError as error:
        raise NotHereError(error.what) from error
    try:
        while engine.at_work and len(read_curve(work)) < rows:
            engine.wait(POLL_SECONDS)
    finally:
        engine.stop()
    if len(curve := read_curve(work)) >= rows:
        return curve[rows - 1]
    result = read_result(work, "train")
    reason = f"{result.status}: {result.failure.reason if result.failure else 'the curve is shorter'}"
    raise (NotHereError if result.status in ELSEWHERE else UsageError)(reason)


def largest_difference(before: Mapping[str, float | None], now: Mapping[str, float | None]) -> tuple[float, str]:
    """Return the largest relative difference of two rows of a curve, and its column; 0 and no name if they are equal.

    Numbers are equal if they are after rounding to 6 significant digits, with which curves are committed. The relative
    difference is |b - a| / max(|a|, |b|); of a column that only `before` has it is 1.
    """
    largest, column = 0.0, ""
    for name, value in before.items():
        a, b = rounded(value), rounded(now.get(name))
        if a is None or a == b or name in UNEQUAL:
            continue
        difference = 1.0 if b is None else abs(b - a) / max(abs(a), abs(b))
        if difference > largest:
            largest, column = difference, name
    return largest, column
