"""The record of a run, assembled from the result files of its passes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from throughtime.records.files import LOG, read_position
from throughtime.records.pass_result import PassResult, pass_file
from throughtime.records.provenance import git_state, machine, versions
from throughtime.records.record import ELSEWHERE, Failure, Measure, Record
from throughtime.running.plan import Planned
from throughtime.spec import PASSES, Pass, RunSpec

LOG_TAIL_LINES, LOG_TAIL_BYTES = 20, 20_000


def read_result(folder: Path, name: Pass) -> PassResult:
    """Read the result file of a pass."""
    return PassResult.model_validate_json(pass_file(folder, name).read_text(encoding="utf-8"))


def was_ok(folder: Path, name: Pass) -> bool:
    """Return whether a pass has an `ok` result with the installed library versions, and need not be repeated."""
    try:
        result = read_result(folder, name)
    except (OSError, ValueError):  # no result, or a damaged one
        return False
    return result.status == "ok" and result.versions == versions()


def assemble(planned: Planned, folder: Path, command: Sequence[str], started: float) -> Record:
    """Return the record of a run whose passes have ended.

    The status is that of the training pass or, without one, of the first pass that failed. A measuring pass that failed
    beside a training pass leaves its measures missing, with the reason, and is named in `failed_passes`.
    """
    spec, passes = planned.spec, planned.passes
    results = {name: read_result(folder, name) for name in passes}
    judged: Sequence[Pass] = ["train"] if "train" in results else passes
    failed = next((name for name in judged if results[name].status != "ok"), None)
    measures: dict[str, Measure] = {}
    for name in spec.passes:
        measures |= measures_of(name, results.get(name))
    where = results.get("train", results[passes[0]])
    return Record(
        **_provenance(planned, command, started),
        machine=where.machine,
        versions=where.versions,
        status=results[failed].status if failed else "ok",
        measures=measures,
        metric=results["train"].metric if "train" in results else None,
        failure=failure_of(results[failed], failed, folder) if failed else None,
        phases=results["train"].phases if "train" in results else {},
        dataset_sha256=next((r.dataset_sha256 for r in results.values() if r.dataset_sha256), None),
        seconds=sum(result.seconds for result in results.values()),
        remark=next((r.remark for r in results.values() if r.remark), None),
        continued=results["train"].continued if "train" in results else 0,
        outcomes=results["train"].outcomes if "train" in results else None,
        contended=_contended(results, None),
        failed_passes=failed_passes(results),
    )


def completed(record: Record, folder: Path, names: Sequence[Pass]) -> Record:
    """Return an `ok` record with the results of repeated measuring passes.

    Args:
        record: the record of the run.
        folder: the folder with the new result files.
        names: the names of the passes.
    """
    results = {name: read_result(folder, name) for name in names}
    measures = dict(record.measures)
    for name, result in results.items():
        measures |= measures_of(name, result)
    others = {name: why for name, why in record.failed_passes.items() if name not in results}
    changed = {
        "measures": measures,
        "seconds": record.seconds + sum(result.seconds for result in results.values()),
        "contended": _contended(results, record.contended),
        "failed_passes": others | failed_passes(results),
    }
    return record.model_copy(update=changed)


def _contended(results: Mapping[Pass, PassResult], before: bool | None) -> bool | None:
    """Return whether other processes used the machine during a pass that times; `before` if none of them is new."""
    timed = [r.contended for r in results.values() if r.contended is not None]
    return any(timed) if timed else before


def failed_passes(results: Mapping[Pass, PassResult]) -> dict[Pass, str]:
    """Return status and reason of each measuring pass that failed."""
    failed = {name: result for name, result in results.items() if name != "train" and result.status != "ok"}
    return {
        name: f"{pass_result.status}: {pass_result.failure.reason if pass_result.failure else ''}"
        for name, pass_result in failed.items()
    }


def skipped(planned: Planned, command: Sequence[str], started: float) -> Record:
    """Return the record of a run that its rule does not support."""
    return Record(
        **_provenance(planned, command, started),
        machine=machine(planned.spec.threads, None),
        versions=versions(),
        status="skipped",
        failure=Failure(reason=planned.unsupported or ""),
    )


def command_for(command: Sequence[str], spec: RunSpec) -> str:
    """Return the command of a sweep, narrowed to one of its runs."""
    return shlex.join([*command, "--only", spec.label, "--rerun", "all"])


def _provenance(planned: Planned, command: Sequence[str], started: float) -> dict[str, Any]:
    """Return the fields of a record that describe its provenance, for any status."""
    spec = planned.spec
    return {
        "id": planned.id,
        "label": spec.label,
        "spec": spec,
        "code": {**planned.code, **git_state()},
        "command": command_for(command, spec),
        "started": datetime.fromtimestamp(started, timezone.utc).isoformat(timespec="milliseconds"),
    }


def measures_of(name: Pass, result: PassResult | None) -> dict[str, Measure]:
    """Return the measures of a pass, or a placeholder with the reason if it has no result for this run."""
    if result is None:
        reason = ELSEWHERE
    elif result.status != "ok":
        reason = f"{name} pass {result.status}: {result.failure.reason if result.failure else ''}"
    else:
        return result.measures
    headline = PASSES[name].headline
    if headline is None:
        return {}
    measure, unit = headline
    return {measure: Measure(value=None, unit=unit, method=f"{name} pass", missing=reason)}


def failure_of(result: PassResult, name: Pass, folder: Path) -> Failure:
    """Return the failure of a pass, with the position that it reached and the end of the log."""
    where = f"{name} pass"
    if name == "train":
        position = read_position(folder)
        where = f"epoch {position['epoch']}, update {position['update']}" if position else "before the first update"
    failure = result.failure or Failure(reason=result.status)
    return failure.model_copy(update={"where": where, "log_tail": _tail(folder / LOG)})


def _tail(log: Path) -> list[str]:
    """Return the last lines of a log, which may be of any size."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES)
        file.seek(start)
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    whole = lines[1:] if start and len(lines) > 1 else lines  # the first one is incomplete
    return whole[-LOG_TAIL_LINES:]
