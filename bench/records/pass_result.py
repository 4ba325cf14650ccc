"""What one pass of a run leaves behind, until the record is made of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from throughtime.records.record import Failure, Measure, Status
from throughtime.spec import Pass


class PassResult(pydantic.BaseModel):
    """What a pass leaves for the runner: written by the child as `<pass>.json`, whole or not at all."""

    status: Status = "ok"
    failure: Failure | None = None
    void: str | None = None
    """Why nothing can be recorded of it, and the sweep must end: its code is no longer what was planned."""
    measures: dict[str, Measure] = {}
    metric: str | None = None
    phases: dict[str, float] = {}
    seconds: float = 0.0
    """Wall time of the pass, from the start of its process to the end of its work."""
    machine: dict[str, Any] = {}
    """Where it ran."""
    versions: dict[str, str] = {}
    """What it ran with."""
    continued: int = 0
    """How often a training was stopped or killed and went on from its checkpoint."""
    contended: bool | None = None
    dataset_sha256: str | None = None
    remark: str | None = None
    """What the rule has tables say beside these numbers."""


def pass_file(folder: Path, name: Pass) -> Path:
    """Where a pass leaves its result."""
    return folder / f"{name}.json"
