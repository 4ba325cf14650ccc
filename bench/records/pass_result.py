"""The result of one pass of a run: a file from which, with those of the other passes, the record is assembled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from throughtime.records.record import Failure, Measure, Outcomes, Status
from throughtime.spec import Pass


class PassResult(pydantic.BaseModel):
    """The result of a pass: the child writes `<pass>.json` atomically, and the runner reads it."""

    status: Status = "ok"
    failure: Failure | None = None
    stale_code: str | None = None
    """Why the result cannot be recorded and the sweep must end: the code has changed since the run was planned."""
    measures: dict[str, Measure] = {}
    metric: str | None = None
    phases: dict[str, float] = {}
    seconds: float = 0.0
    """Wall time of the pass, from the start of its process to the end of its work."""
    machine: dict[str, Any] = {}
    """The machine that ran the pass."""
    versions: dict[str, str] = {}
    """Versions of Python and of the libraries."""
    continued: int = 0
    """Number of times that training resumed from its checkpoint."""
    contended: bool | None = None
    dataset_sha256: str | None = None
    outcomes: Outcomes | None = None
    """Outcomes of a training pass on the test split; see `Record`."""
    remark: str | None = None
    """Remarks of rule and dataset, which tables show beside these numbers."""


def pass_file(folder: Path, name: Pass) -> Path:
    """Return the path of the result of a pass."""
    return folder / f"{name}.json"
