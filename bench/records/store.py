"""Results on disk: `<results>/<suite>/<id>/{record.json, curve.jsonl, log}`."""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.errors import UsageError
from throughtime.gc_paused import gc_paused
from throughtime.records.files import CURVE, parse_json
from throughtime.records.record import Record, parse_record, read_record, read_text_of

DEFAULT_RESULTS = Path("results/runs")
WORK = ".work"
"""Folder in a suite's, with what has no record yet."""
FAILED = "failed"
"""Folder in the folder of an `ok` run, with the last attempt to make it again that failed."""
JOURNAL = "journal.jsonl"
"""File in a suite's folder: what the last sweep did."""


class Stored(NamedTuple):
    """A record and the folder it lies in, with its curve and log beside it."""

    record: Record
    folder: Path


class Store:
    """One results folder.

    Attributes:
        broken: files that claim to be records and are not, with the reason; filled by `records` and `read`.

    Raises:
        UsageError: the folder is a file.
    """

    def __init__(self, folder: str | Path = DEFAULT_RESULTS) -> None:
        self.folder = Path(folder)
        self.broken: list[str] = []
        for place in (self.folder, *self.folder.parents):
            if place.exists() and not place.is_dir():
                raise UsageError("the results folder is a file", where=str(place), hint="give a folder to --results")

    def run_folder(self, suite: str, run_id: str) -> Path:
        """Where a run lies that has its record."""
        return self.folder / suite / run_id

    def work_folder(self, suite: str, run_id: str) -> Path:
        """Where a run grows until it has its record."""
        return self.folder / suite / WORK / run_id

    def publish(self, suite: str, run_id: str) -> Path:
        """Move a run that has its record from its work folder to its place, and return that.

        A run that lay there before goes, unless it is `ok` and the new one is not: then the failed attempt is put into
        the folder `failed` of the old run. After a kill half way the next call goes on: one of the two is always whole.
        """
        grown, place = self.work_folder(suite, run_id), self.run_folder(suite, run_id)
        old = grown.with_name(f"{run_id}.old")
        if grown.exists() and _is_ok(place) and not _is_ok(grown):
            place = place / FAILED
        if place.exists() and grown.exists():
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        if grown.exists():
            grown.rename(place)
        shutil.rmtree(old, ignore_errors=True)
        return place

    def records(self, suite: str | None = None) -> list[Stored]:
        """All whole records, of one suite or of all, in order of suite, cell and replicate."""
        with gc_paused():
            return sorted((stored for stored, _ in self.read(suite)), key=order_of)

    def read(self, suite: str | None = None) -> Iterator[tuple[Stored, bytes]]:
        """Each whole record, of one suite or of all, and the text of its file; in no order that means anything.

        One at a time, because a parsed record takes much more memory than its text. Files that are not records are
        listed in `broken`.
        """
        self.broken = []
        folders = "*" if suite is None else glob.escape(suite)
        for path in sorted(self.folder.glob(f"{folders}/*/record.json")):
            try:
                text = read_text_of(path)
                yield Stored(parse_record(text, path), path.parent), text
            except UsageError as error:
                self.broken.append(str(error))


def _is_ok(folder: Path) -> bool:
    try:
        return read_record(folder / "record.json").status == "ok"
    except UsageError:  # there is none, or it is broken
        return False


def order_of(stored: Stored) -> tuple[Any, ...]:
    """Sort key of a record: its suite, cell, replicate and id."""
    spec = stored.record.spec
    return spec.suite, spec.cell, spec.replicate, stored.record.id


def validation_metric(row: dict[str, Any], metric: str | None) -> float | None:
    """Return a metric on the validation split from a row of a learning curve. Older curves call the headline metric
    `validation`, without its name."""
    return row.get(f"validation.{metric}", row.get("validation"))


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Read the learning curve beside a record: one row an epoch, up to the first line that is cut short or damaged."""
    return parse_curve(folder)[0]


def parse_curve(folder: Path) -> tuple[list[dict[str, Any]], str | None]:
    """Read the learning curve beside a record, and say why it is not read to its end, with the place; None if it is
    whole.

    A last line that is cut short is no damage: the process was killed while it wrote.
    """
    path = folder / CURVE
    if not path.exists():
        return [], None
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True), 1):
        row, wrong = parse_json(line)
        wrong = wrong or _wrong_row(row)
        if wrong:
            return rows, f"{path}:{number}: {wrong}" if line.endswith("\n") else None
        rows.append(row)
    return rows, None


def _wrong_row(row: Any) -> str | None:
    """Why a line is no row of a curve: each value is a number, or null for one that could not be had."""
    if not isinstance(row, dict) or not isinstance(row.get("epoch"), int):
        return "no row of a curve, which begins with its epoch"
    for name, value in row.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f'"{name}" is {json.dumps(value)[:40]}, not a number'
    return None
