"""From the files that a run's passes left to its record."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from throughtime.machine import git_state, machine, versions
from throughtime.passes import PassResult
from throughtime.plan import Planned
from throughtime.record import Failure, Measure, Record, write_whole
from throughtime.spec import PASSES, Pass, RunSpec
from throughtime.store import read_curve

LOG_TAIL_LINES = 20


def pass_file(folder: Path, name: Pass) -> Path:
    """Where a pass leaves its result."""
    return folder / f"{name}.json"


def was_ok(folder: Path, name: Pass) -> bool:
    """Whether a pass has left a result, and a good one: what an interrupted sweep need not repeat."""
    path = pass_file(folder, name)
    return path.exists() and PassResult.model_validate_json(path.read_text()).status == "ok"


def settle(folder: Path, name: Pass, exit_code: int | None, seconds: float) -> None:
    """A child that left no result was ended from outside or left on its own: write that down in its place."""
    path = pass_file(folder, name)
    if path.exists():
        return
    if exit_code is not None and exit_code < 0:
        result = PassResult(
            status="killed",
            seconds=seconds,
            failure=Failure(reason=f"ended by {signal.Signals(-exit_code).name}", exit_code=exit_code),
        )
    else:
        reason = f"the process left with exit code {exit_code} and no result"
        result = PassResult(status="error", seconds=seconds, failure=Failure(reason=reason, exit_code=exit_code))
    write_whole(path, result.model_dump_json())


def assemble(planned: Planned, folder: Path, passes: list[Pass], command: Sequence[str], started: float) -> Record:
    """The record of a run whose `passes` are over.

    The status is that of the training pass, or of the first pass that failed when there is none; a measuring pass that
    failed beside a training pass leaves its measures missing, with the reason.
    """
    spec = planned.spec
    results = {name: PassResult.model_validate_json(pass_file(folder, name).read_text()) for name in passes}
    judged = ["train"] if "train" in results else passes
    failed = next((name for name in judged if results[name].status != "ok"), None)
    measures: dict[str, Measure] = {}
    for name in spec.passes:
        if name in results:
            measures.update(results[name].measures)
        measures = {**_missing(name, results.get(name)), **measures}
    return Record(
        **_provenance(planned, command, started, results[passes[0]].denormals_flushed),
        status=results[failed].status if failed else "ok",
        measures=measures,
        metric=results["train"].metric if "train" in results else None,
        failure=_told(results[failed], failed, folder) if failed else None,
        phases=results["train"].phases if "train" in results else {},
        dataset_sha256=next((r.dataset_sha256 for r in results.values() if r.dataset_sha256), None),
        seconds=sum(result.seconds for result in results.values()),
        remark=next((r.remark for r in results.values() if r.remark), None),
        contended=results["time"].contended if "time" in results else None,
    )


def skipped(planned: Planned, command: Sequence[str], started: float) -> Record:
    """The record of a run that its rule does not support."""
    return Record(
        **_provenance(planned, command, started, None),
        status="skipped",
        failure=Failure(reason=planned.unsupported or ""),
    )


def alone(command: Sequence[str], spec: RunSpec) -> str:
    """The command of a sweep, narrowed to one of its runs."""
    return shlex.join([*command, "--only", spec.label, "--rerun", "all"])


def _provenance(
    planned: Planned, command: Sequence[str], started: float, denormals_flushed: bool | None
) -> dict[str, Any]:
    """What a record says of where it comes from, however the run ended."""
    spec = planned.spec
    return {
        "id": planned.id,
        "label": spec.label,
        "spec": spec,
        "machine": machine(spec.threads, denormals_flushed),
        "versions": versions(),
        "code": {**planned.code, **git_state()},
        "command": alone(command, spec),
        "started": datetime.fromtimestamp(started, timezone.utc).isoformat(timespec="seconds"),
    }


def _missing(name: Pass, result: PassResult | None) -> dict[str, Measure]:
    """Placeholders, with the reason, for the numbers of a measuring pass that gave none for this run."""
    if result is None:
        reason = "measured once a cell, on its first replicate"
    elif result.status != "ok":
        reason = f"{name} pass {result.status}: {result.failure.reason if result.failure else ''}"
    else:
        return {}
    if PASSES[name].headline is None:
        return {}
    measure, unit = PASSES[name].headline
    return {measure: Measure(value=None, unit=unit, method=f"{name} pass", missing=reason)}


def _told(result: PassResult, name: Pass, folder: Path) -> Failure:
    """Why a pass failed, with the last epoch reached and the end of the log."""
    curve, log = read_curve(folder), folder / "log"
    where = f"{name} pass"
    if name == "train":
        where = f"epoch {curve[-1]['epoch']}, update {curve[-1]['updates']}" if curve else "first epoch"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    failure = result.failure or Failure(reason=result.status)
    return failure.model_copy(update={"where": where, "log_tail": lines[-LOG_TAIL_LINES:]})
