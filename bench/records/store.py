"""Results on disk, as `<results>/<suite>/<id>/{record.json, curve.jsonl, log}`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.collector import gc_paused
from throughtime.errors import UsageError
from throughtime.records.files import CURVE, RECORD, parse_json
from throughtime.records.record import Record, Status, parse_record, read_record, read_text_of

DEFAULT_RESULTS = Path("results/runs")
WORK = ".work"
"""Subfolder of a suite's folder for runs without a record."""
OLD = ".old"
"""Ending of the name of a folder there whose run is being replaced."""
FAILED = "failed"
"""Subfolder of the folder of an `ok` run for the last failed repetition."""
NUMBERS = {int, float, type(None)}
"""Types of the values of a row of a learning curve."""
JOURNAL = "journal.jsonl"
"""File in a suite's folder: the events of the last sweep."""


class Stored(NamedTuple):
    """A record and its folder, which also contains curve and log."""

    record: Record
    folder: Path


class Store:
    """One results folder.

    Attributes:
        broken: record files that cannot be read, with the reason; filled by `records` and `read`.

    Raises:
        UsageError: the folder is a file.
    """

    def __init__(self, folder: str | Path = DEFAULT_RESULTS) -> None:
        self.folder = Path(folder)
        self.broken: list[str] = []
        for place in (self.folder, *self.folder.parents):
            if place.exists() and not place.is_dir():
                raise UsageError("the results folder is a file", where=str(place), hint="--results needs a folder")

    def run_folder(self, suite: str, run_id: str) -> Path:
        """Return the folder of a run with a record."""
        return self.folder / suite / run_id

    def work_folder(self, suite: str, run_id: str) -> Path:
        """Return the folder of a run without a record."""
        return self.folder / suite / WORK / run_id

    def publish(self, suite: str, run_id: str) -> Path:
        """Move a run that has a record from its work folder to its run folder, and return the new folder.

        An earlier run in the run folder is deleted, unless it is `ok` and the new one is not: the new one then becomes
        the subfolder `failed` of the old one. If the process is killed midway, the next call completes the move; one of
        the two runs is intact at any time.
        """
        grown, place = self.work_folder(suite, run_id), self.run_folder(suite, run_id)
        old = grown.with_name(f"{run_id}{OLD}")
        if grown.exists() and is_ok(place) and not is_ok(grown):
            place = place / FAILED
        if place.exists() and grown.exists():
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        if grown.exists():
            grown.rename(place)
        shutil.rmtree(old, ignore_errors=True)
        return place

    def folder_of(self, record: Record) -> Path:
        """Return the folder of a published run; a failed one beside an earlier run that is `ok` has a subfolder."""
        place = self.run_folder(record.spec.suite, record.id)
        return place / FAILED if record.status != "ok" and (place / FAILED).exists() else place

    def records(self, suite: str | None = None) -> list[Stored]:
        """Return all intact records of one suite, or of all, in order of suite, cell and replicate."""
        with gc_paused():
            return sorted((stored for stored, _ in self.read(suite)), key=order_of)

    def curve(self, run_id: str, folder: Path) -> tuple[list[dict[str, Any]], str | None]:
        """Read the learning curve of a run in a folder; see `parse_curve`."""
        return parse_curve(folder)

    def read(self, suite: str | None = None) -> Iterator[tuple[Stored, bytes]]:
        """Yield each intact record of one suite, or of all, with the text of its file, in no particular order.

        A parsed record takes much more memory than its text. Files that are not records are listed in `broken`.
        """
        self.broken = []
        folders = [folder for folder in self.folder.glob("*") if suite in (None, folder.name)]
        for path in sorted(path for folder in folders for path in folder.glob(f"*/{RECORD}")):
            try:
                text = read_text_of(path)
                yield Stored(parse_record(text, path), path.parent), text
            except UsageError as error:
                self.broken.append(str(error))


def status_of(folder: Path) -> Status | None:
    """Return the status of the record in the folder of a run; None without a record that can be read."""
    try:
        return read_record(folder / RECORD).status
    except UsageError:  # no record, or a damaged one
        return None


def is_ok(folder: Path) -> bool:
    """Return whether the folder of a run has an intact record with status `ok`."""
    return status_of(folder) == "ok"


def order_of(stored: Stored) -> tuple[Any, ...]:
    """Return the sort key of a record: suite, cell, replicate and id."""
    spec = stored.record.spec
    return spec.suite, spec.cell, spec.replicate, stored.record.id


def validation_metric(row: dict[str, Any], metric: str | None) -> float | None:
    """Return a metric on the validation split from a row of a learning curve. In older curves the headline metric
    is named `validation`."""
    return row.get(f"validation.{metric}", row.get("validation"))


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Read the learning curve in a run's folder: a row per epoch, up to the first truncated or damaged line."""
    return parse_curve(folder)[0]


def parse_curve(folder: Path) -> tuple[list[dict[str, Any]], str | None]:
    """Read the learning curve in a run's folder; return its rows, and the place and kind of the first damage, or None.

    A truncated last line is not damage: the process was killed while writing.
    """
    path = folder / CURVE
    if not path.exists():
        return [], None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    rows, wrong = parse_json(f"[{','.join(lines)}]")  # at once: the call for a line takes as long as its numbers
    if wrong is None and len(rows) == len(lines) and not any(map(_wrong_row, rows)):
        return rows, None
    rows = []
    for number, line in enumerate(lines, 1):
        row, wrong = parse_json(line)
        wrong = wrong or _wrong_row(row)
        if wrong:
            return rows, f"{path}:{number}: {wrong}" if line.endswith("\n") else None
        rows.append(row)
    return rows, None


def _wrong_row(row: Any) -> str | None:
    """Return the reason why a line is not a row of a curve (a dict of numbers or nulls, with an epoch), or None."""
    if not isinstance(row, dict) or not isinstance(row.get("epoch"), int):
        return 'not a row of a curve: "epoch" is missing or not an integer'
    if set(map(type, row.values())) <= NUMBERS:  # the loop alone takes as long as parsing the row
        return None
    name, value = next((name, value) for name, value in row.items() if type(value) not in NUMBERS)
    return f'"{name}" is {json.dumps(value)[:40]}, not a number'
