"""Repeat the run of a record, and list the differences."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from throughtime.errors import UsageError, suggestion
from throughtime.records.code_digest import code_of
from throughtime.records.files import RECORD
from throughtime.records.record import ELSEWHERE, Measure, Record, read_record
from throughtime.records.store import Store, Stored, read_curve
from throughtime.running.engine import Engine
from throughtime.running.plan import plan, prepare_data
from throughtime.running.progress import Progress
from throughtime.running.runner import Runner
from throughtime.spec import NOISY_MEASURES, PASSES, Pass


class RecordDifference(NamedTuple):
    """A difference between two records."""

    what: str
    before: str
    now: str
    counts: bool
    """False where two runs are not expected to agree."""


def find_record(name: str, store: Store) -> Stored:
    """Find a record by its path, by its folder, or by its id in the store.

    Raises:
        UsageError: there is no such record, or it is damaged.
    """
    for path in (Path(name), Path(name) / RECORD):
        if path.is_file():
            return Stored(read_record(path), path.parent)
    matches = sorted(store.folder.glob(f"*/{glob.escape(name)}/{RECORD}")) if name and "/" not in name else []
    if not matches:
        known = [path.parent.name for path in store.folder.glob(f"*/*/{RECORD}")]
        raise UsageError(f'no record "{name}" in {store.folder}', hint=suggestion(name, known) if known else None)
    return Stored(read_record(matches[0]), matches[0].parent)


def rerun(stored: Stored, folder: Path, engine: Engine, progress: Progress) -> tuple[Stored, list[RecordDifference]]:
    """Repeat the passes of a record in a separate results folder, and compare.

    Args:
        stored: the record, with its folder.
        folder: an empty results folder.
        engine: runs the passes; the caller closes it.
        progress: shows the progress of the passes.

    Raises:
        UsageError: a component is no longer registered, or its data are not on this machine.
    """
    record, store = stored.record, Store(folder)
    (planned,) = plan([record.spec], store)
    planned = planned._replace(passes=[name for name in record.spec.passes if _has_pass(record, name)])
    prepare_data([planned])
    command = ["throughtime", "rerun", str(stored.folder)]
    (now,) = Runner(store, command, engine, progress).run([planned], [planned])
    again = Stored(now, store.run_folder(record.spec.suite, now.id))
    return again, list(differences(stored, again))


def differences(before: Stored, now: Stored) -> Iterator[RecordDifference]:
    """Yield the differences of two records of one spec: code, libraries, status, measures, learning curve."""
    a, b = before.record, now.record
    code = code_of(b.spec)
    for what in code:
        if a.code.get(what) != b.code.get(what):
            yield RecordDifference(f"code of {what}", str(a.code.get(what)), str(b.code.get(what)), False)
    for what in sorted(a.versions.keys() | b.versions.keys()):
        if a.versions.get(what) != b.versions.get(what):
            yield RecordDifference(what, str(a.versions.get(what)), str(b.versions.get(what)), False)
    shared = (
        ("status", a.status, b.status),
        ("reason", a.reason, b.reason),
        ("data", a.dataset_sha256, b.dataset_sha256),
    )
    for what, before_it, now_it in shared:
        if before_it != now_it:
            yield RecordDifference(what, str(before_it), str(now_it), True)
    for name in dict.fromkeys([*a.measures, *b.measures]):
        first, second = a.measures.get(name), b.measures.get(name)
        if as_text(first) != as_text(second):
            only_in_one = (first is None or first.value is None) != (second is None or second.value is None)
            yield RecordDifference(
                name, as_text(first), as_text(second), only_in_one or not name.startswith(NOISY_MEASURES)
            )
    yield from _curves(read_curve(before.folder), read_curve(now.folder))


def _curves(before: list[dict[str, float]], now: list[dict[str, float]]) -> Iterator[RecordDifference]:
    """Yield the first difference between the learning curves."""
    if len(before) != len(now):
        yield RecordDifference("learning curve", f"{len(before)} rows", f"{len(now)} rows", True)
    for first, second in zip(before, now, strict=False):
        for name in {**first, **second}:
            if name != "seconds" and repr(first.get(name)) != repr(second.get(name)):
                place = f"learning curve, epoch {first['epoch']}: {name}"
                yield RecordDifference(place, str(first.get(name)), str(second.get(name)), True)
                return


def _has_pass(record: Record, name: Pass) -> bool:
    """Return whether a run has results of a pass: another replicate may have run it for the cell."""
    headline = PASSES[name].headline
    measure = record.measures.get(headline[0]) if headline else None
    return measure is None or measure.missing != ELSEWHERE


def as_text(measure: Measure | None) -> str:
    if measure is None:
        return "not measured"
    if measure.value is None:
        return f"missing: {measure.missing}"
    return repr(measure.value)
