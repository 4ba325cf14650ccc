"""The record: one JSON file per run. Each value has a unit, raw samples are included, and a value that could not be
measured is null with a reason, never 0.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from throughtime.errors import UsageError, first_fault
from throughtime.records.files import RECORD, parse_json
from throughtime.spec import Pass, RunSpec
from throughtime.whole_files import write_whole

SCHEMA: Literal[1] = 1

ELSEWHERE = "measured once a cell, on its first replicate"
"""Reason why a run lacks a measure that another replicate has."""

Status = Literal["ok", "diverged", "oom", "timeout", "killed", "error", "skipped"]


class Measure(pydantic.BaseModel):
    """One measured number."""

    # Samples of a run that diverged may be NaN: written as null, they could not be read again.
    model_config = pydantic.ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    value: float | None
    unit: str
    """`fraction`, `second`, `byte`, `spikes per neuron and step`, ...; `1` for a pure number."""
    method: str
    """The method of measurement, in a few words."""
    samples: list[float] = []
    """The raw values behind `value`, where there are several."""
    missing: str | None = None
    """Why there is no value; set exactly when `value` is null."""
    better: Literal["higher", "lower"] | None = None
    """Direction of improvement of a task's metric; null for other measures and in records of older versions."""

    @pydantic.model_validator(mode="after")
    def _value_or_reason(self) -> Measure:
        if (self.value is None) != (self.missing is not None):
            raise ValueError("a measure has either a value or a reason why it is missing")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.value} is not a measurement; give null and the reason")
        return self


class Outcomes(pydantic.BaseModel):
    """Which sequences of the test split a network has right, a bit each, in the order of the split."""

    model_config = pydantic.ConfigDict(extra="forbid")

    n: pydantic.NonNegativeInt
    """Number of sequences."""
    bits: str
    """The bits, most significant first in each byte, as base64."""

    @classmethod
    def packed(cls, right: Sequence[bool]) -> Outcomes:
        """Pack the outcomes of a split."""
        digits = "".join("1" if is_right else "0" for is_right in right)
        octets = (int(digits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(digits), 8))
        return cls(n=len(right), bits=base64.b64encode(bytes(octets)).decode())

    def right(self) -> list[bool]:
        """Return the outcomes of the n sequences."""
        return [digit == "1" for octet in base64.b64decode(self.bits) for digit in f"{octet:08b}"][: self.n]

    @pydantic.model_validator(mode="after")
    def _bits_for_each(self) -> Outcomes:
        if len(base64.b64decode(self.bits, validate=True)) != -(-self.n // 8):
            raise ValueError(f"the bits are not those of {self.n} sequences")
        return self


class Failure(pydantic.BaseModel):
    """The error that ended a run, or the reason why it was skipped."""

    model_config = pydantic.ConfigDict(extra="forbid")

    reason: str
    """One line."""
    where: str | None = None
    """The last position: `epoch 3, update 120`, or the pass."""
    exit_code: int | None = None
    """Exit code of the child; a negative one is the signal that ended it."""
    log_tail: list[str] = []
    """The last lines of the child's log."""


class Record(pydantic.BaseModel):
    """The record of one run; see `docs/records.md`."""

    model_config = pydantic.ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = pydantic.Field(SCHEMA, alias="schema")
    id: str
    label: str
    spec: RunSpec
    status: Status
    measures: dict[str, Measure] = {}
    metric: str | None = None
    """Name of the measure that is the task's metric; null where nothing was trained."""
    failure: Failure | None = None
    phases: dict[str, float] = {}
    """Seconds of the training pass: load, learn, update, evaluate, align, checkpoint."""
    machine: dict[str, Any] = {}
    versions: dict[str, str] = {}
    code: dict[str, Any] = {}
    """Digest of each component's source, git commit, whether the tree was dirty."""
    dataset_sha256: str | None = None
    command: str = ""
    """The exact command that repeats this run alone."""
    started: str = ""
    """UTC, ISO 8601."""
    seconds: float = 0.0
    """Sum of the wall times of all passes, each from the start of its process."""
    remark: str | None = None
    """Remarks that tables show beside these numbers: an approximation that the rule makes on this network, samples or
    labels of the dataset that were dropped."""
    continued: int = 0
    """Number of times that training resumed from a checkpoint; it affects only times."""
    contended: bool | None = None
    """Whether another process used the machine during a pass that times; null: no such pass."""
    outcomes: Outcomes | None = None
    """Outcomes on the test split with the weights of the last epoch, where a sequence is right or wrong. The split is
    the same for all runs of a dataset, so that runs can be compared sequence by sequence."""
    failed_passes: dict[Pass, str] = {}
    """Status and reason of each measuring pass that failed: its measures are missing, even if `status` is `ok`.
    `--rerun failed` repeats only these passes of an `ok` record."""

    @property
    def reason(self) -> str:
        """The reason of the failure in one line; empty without a failure."""
        return self.failure.reason if self.failure else ""


def write_record(record: Record, folder: Path) -> Path:
    """Write `record.json` into the run's folder atomically."""
    path = folder / RECORD
    write_whole(path, record.model_dump_json(indent=2, by_alias=True) + "\n")
    return path


def read_record(path: Path) -> Record:
    """Read a record; raise UsageError if the file cannot be read or is not a record (truncated, another schema)."""
    return parse_record(read_text_of(path), path)


def read_text_of(path: Path) -> bytes:
    """Return the contents of a record's file; raise UsageError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"the file cannot be read: {error.strerror or error}", where=str(path)) from error


def parse_record(text: bytes, path: Path) -> Record:
    """Parse the text of a record; raise UsageError, with the path, if it is not a record."""
    try:
        return Record.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise _refusal(text, error, path) from error


def _refusal(text: bytes, error: pydantic.ValidationError, path: Path) -> UsageError:
    """Return the error for a text that is not a record."""
    data, wrong = parse_json(text)
    if wrong:
        return UsageError(wrong, where=str(path))
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        return UsageError(f"not a record of schema {SCHEMA}", where=str(path))
    place, fault = first_fault(error)  # no place where the text is not JSON for pydantic, which nests less deeply
    return UsageError(f"not a record: {place and f'{place}: '}{fault}", where=str(path))
