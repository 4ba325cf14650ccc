"""The main function of the fresh process that runs one pass.

Importing this module imports torch and runs nothing: the fork server does so once, and each child starts from there.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from throughtime.errors import DivergedError, StoppedError, UsageError, first_line, is_out_of_memory
from throughtime.passes.passes import run_pass
from throughtime.records.code_digest import code_of
from throughtime.records.files import DISK_FULL, LOG
from throughtime.records.pass_result import PassResult
from throughtime.records.provenance import machine, versions
from throughtime.records.record import Failure, Status
from throughtime.registry import load_plugin
from throughtime.spec import Pass, RunSpec
from throughtime.whole_files import write_whole


def main(name: Pass, spec: dict[str, Any], code: dict[str, str], folder: Path, plugins: list[str]) -> None:
    """Run one pass and write `<pass>.json`, also after an exception; a killed or stopped process writes no result.

    On SIGTERM, a training pass writes a checkpoint first; other passes have no checkpoints.

    Args:
        name: the name of the pass.
        spec: the RunSpec as plain data.
        code: the digests of the components when the run was planned.
        folder: the folder of the run.
        plugins: plugin files to load first.
    """
    start = time.perf_counter()
    stop = threading.Event()
    with suppress(PermissionError):  # it already leads a group
        os.setsid()  # a group of its own: the terminal's Ctrl-C is for the runner, and one kill reaches grandchildren
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, (lambda *_: stop.set()) if name == "train" else signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        _log_to(folder / LOG)
        print(f"-- {name} pass", flush=True)
        result = _result_of(name, spec, code, folder, plugins, stop.is_set)
        result = result.model_copy(update={"seconds": time.perf_counter() - start})
        print(_summary(name, result), flush=True)
        write_whole(folder / f"{name}.json", result.model_dump_json())
    except OSError as error:
        _leave_if_full(error)
        if not folder.exists():
            os._exit(1)  # without a traceback: the runner reports that the folder was removed
        raise


def _result_of(
    name: Pass,
    spec: dict[str, Any],
    code: dict[str, str],
    folder: Path,
    plugins: list[str],
    stopping: Callable[[], bool],
) -> PassResult:
    """Run the pass; return its result, also after an exception."""
    try:
        for plugin in plugins:
            load_plugin(plugin)
        run = RunSpec.model_validate(spec)
        if stale_code := _other_code(run, code):
            return PassResult(status="error", stale_code=stale_code)
        return run_pass(name, run, folder, stopping)
    except StoppedError as stopped:
        print(stopped, flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)  # so that the exit status shows the signal
        raise
    except Exception as error:
        with suppress(OSError):  # the disk of the log is full
            traceback.print_exc()
        _leave_if_full(error)
        kind = "" if isinstance(error, DivergedError) else f"{type(error).__name__}: "
        return PassResult(
            status=status_of(error),
            failure=Failure(reason=f"{kind}{first_line(error)}"),
            machine=machine(spec["threads"], None),
            versions=versions(),
        )


def _summary(name: Pass, result: PassResult) -> str:
    """Return the last lines of a pass in the log: its measures, status and duration."""
    shown = (f"{key} {m.missing or f'{m.value:.6g} {m.unit}'}" for key, m in result.measures.items())
    return "\n".join([*shown, f"{name} pass: {result.status} after {result.seconds:.1f} s"])


def _leave_if_full(error: Exception) -> None:
    """Exit without a result if the disk is full: the run is not at fault, and resumes once there is space."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(DISK_FULL[error.errno])


def _other_code(run: RunSpec, code: dict[str, str]) -> str | None:
    """Return the reason why the code differs from the plan, or None."""
    try:
        return None if code_of(run) == code else "the code changed while the sweep ran"
    except UsageError as error:
        return f"the code differs from the plan: {error.what}"


def status_of(error: Exception) -> Status:
    """Return the status of a run that an exception ended."""
    if isinstance(error, DivergedError):
        return "diverged"
    return "oom" if is_out_of_memory(error) else "error"


def _log_to(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _die_with_parent() -> None:
    """End this process and its descendants when the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(os.getpgrp(), signal.SIGKILL)
