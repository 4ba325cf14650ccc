"""One side of a comparison: records of a results folder, of a baseline file, or of one version of the code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.errors import UsageError, first_of, suggestion
from throughtime.records.baselines import is_baseline, read_baseline
from throughtime.records.record import Record
from throughtime.records.results import Results
from throughtime.records.store import Store

CODE = ("rule", "neuron", "network", "dataset", "harness", "commit")
"""Entries of a record's `code` by which records may be selected."""
VERSIONS_NAMED = 8
"""Number of versions that an error names."""


class Side(NamedTuple):
    """The records of one side."""

    name: str
    """The folder or file of the records, as the caller wrote it."""
    records: list[Record]
    """The current run of each replicate of each cell."""
    broken: list[str]
    """Files that cannot be read as records, with the reason."""

    @property
    def is_baseline(self) -> bool:
        """Return whether the records come from a baseline file."""
        return is_baseline(self.name)

    def selected(self, suites: Sequence[str] = (), scale: str | None = None) -> Side:
        """Select the records of some suites, of one scale, or both."""
        specs = ((record, record.spec) for record in self.records)
        selected = [r for r, spec in specs if (not suites or spec.suite in suites) and scale in (None, spec.scale)]
        return self._replace(records=selected)


def load_side(where: str | Path | Results) -> Side:
    """Read one side.

    Args:
        where: a results folder, a baseline file (`.jsonl` or `.jsonl.gz`), or loaded results. A folder may have a
            version of the code after `@`: `results/runs@rule=3f2a` or `results/runs@commit=1440204,torch=2.4.0` selects
            the records whose digest, commit or version begins with these characters.

    Raises:
        UsageError: there are no records to compare.
    """
    if isinstance(where, Results):
        return Side(str(where.folder), [where.record(run) for run in where.runs], where.broken)
    text = str(where)
    if is_baseline(text):
        return Side(text, read_baseline(Path(text)), [])
    folder, version = folder_and_version(text)
    if not Path(folder).is_dir():
        raise UsageError(
            "no such results folder or baseline", where=folder, hint="a baseline's name ends with .jsonl or .jsonl.gz"
        )
    wanted = [] if version is None else _version(version, text)
    records: dict[str, Record] = {}  # parsed once: a file takes half a millisecond

    def keep(record: Record) -> bool:
        records[record.id] = record
        return _is_of(record, wanted)

    results = Results.load(folder, keep=keep) if version is None else Results(folder, keep=keep)
    side = Side(text, [records[run] for run in results.runs], results.broken)
    if not side.records:
        raise UsageError(f"no record of {version} in {folder}", hint=_known(folder, [name for name, _ in wanted]))
    return side


def folder_and_version(text: str) -> tuple[str, str | None]:
    """Split `folder@rule=3f2a` into the folder and its version; the name of a folder may itself contain `@`."""
    if Path(text).is_dir():
        return text, None
    folder, separator, version = text.rpartition("@")
    return (folder, version) if separator else (text, None)


def _version(text: str, where: str) -> list[tuple[str, str]]:
    """Parse `rule=3f2a,torch=2.4.0` into pairs."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and equals and value for name, equals, value in pairs):
        raise UsageError("a version is NAME=VALUE", where, "for example @rule=3f2a9c or @commit=1440204,torch=2.4.0")
    return [(name, value) for name, _, value in pairs]


def _is_of(record: Record, wanted: Sequence[tuple[str, str]]) -> bool:
    return all(str(_versions(record).get(name)).startswith(value) for name, value in wanted)


def _versions(record: Record) -> dict[str, Any]:
    return {**record.versions, **{name: record.code[name] for name in CODE if name in record.code}}


def _known(folder: str, names: Sequence[str]) -> str:
    """Return the first versions of the records of a folder, or the nearest name if no record has one of the names."""
    versions_of_records = [_versions(stored.record) for stored in Store(folder).records()]
    known = {name for versions in versions_of_records for name in versions}
    if unknown := [name for name in names if name not in known]:
        return suggestion(unknown[0], known)
    values = {name: sorted({str(versions.get(name)) for versions in versions_of_records}) for name in names}
    return "; ".join(f"{name}: {first_of(among, VERSIONS_NAMED)}" for name, among in values.items())
