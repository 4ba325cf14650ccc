"""Execution of one pass on another machine, which needs only this package.

A pass is sent as a `Job` of JSON values, together with the files from which it resumes. The receiver runs it in a child
process, in a folder of its own, and returns the files that the child leaves there. The child loads no pickled data, and
ends with the process that started it, however that process ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from throughtime import __version__
from throughtime.datasets.files.fetch import DATA, sources
from throughtime.errors import UsageError
from throughtime.measuring.machine_lock import MachineLock
from throughtime.records.files import CHECKPOINT, CURVE, DISK_FULL, LOG, POSITION, WEIGHTS
from throughtime.records.pass_result import PassResult, pass_file
from throughtime.records.provenance import machine, versions
from throughtime.records.record import Failure, Status
from throughtime.running.assembly import read_result
from throughtime.running.engine import PassJob
from throughtime.running.engines.supervisor import Supervisor
from throughtime.running.limits import Limits
from throughtime.spec import PASSES, Pass
from throughtime.whole_files import write_whole

JOB = "job.json"
RESUME_FILES = (CHECKPOINT, CURVE, POSITION, WEIGHTS)
"""Files from which a training pass resumes, and which it leaves for the next attempt."""
LOG_BYTES = 2**20
"""Length of the end of a log that the receiver returns."""
POLL_SECONDS = 0.25
RUNNER_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_")
"""Variables on which speed and memory depend, and which Dask sets for its workers: a child has those of the runner."""

Files = dict[str, bytes]


class Job(TypedDict):
    """Description of a pass, as JSON values."""

    version: str
    """Version of throughtime."""
    name: Pass
    spec: dict[str, Any]
    code: dict[str, str]
    """Digests of the planned code: a machine with other code refuses the pass."""
    plugins: list[tuple[str, str]]
    """File name and source text of each plugin."""
    limits: tuple[float | None, int | None]
    data: list[str]
    """Folders of the runner to search for datasets, before those that the other machine names."""
    environment: dict[str, str | None]
    """Values of `RUNNER_VARIABLES`; None: not set."""


def plugin_texts(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Return file name and source text of each plugin.

    Raises:
        UsageError: a plugin cannot be read.
    """
    try:
        return [(Path(path).name, Path(path).read_text(encoding="utf-8")) for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"a plugin cannot be sent: {error}") from error


def job_of(request: PassJob, plugins: list[tuple[str, str]], limits: Limits) -> Job:
    """Return the description of a pass for the machine that runs it."""
    return Job(
        version=__version__,
        name=request.name,
        spec=request.planned.spec.model_dump(mode="json"),
        code=request.planned.code,
        plugins=plugins,
        limits=(limits.timeout, limits.memory),
        data=[str(folder.resolve()) for folder in sources()],
        environment={name: os.environ.get(name) for name in RUNNER_VARIABLES},
    )


# --- files: sending and receiving


def resume_files(name: Pass, folder: Path) -> Files:
    """Return the files from which training resumes; empty for other passes, or without a checkpoint."""
    return _read(folder, RESUME_FILES) if name == "train" and (folder / CHECKPOINT).exists() else {}


def files_left(name: Pass, folder: Path) -> Files:
    """Return the files that a pass has left in its folder."""
    return _read(folder, (*RESUME_FILES, LOG, pass_file(folder, name).name))


def prepare_folder(folder: Path, job: Job, files: Files) -> None:
    """Prepare the folder in which a pass runs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    write_whole(folder / JOB, json.dumps(job))


def receive_files(name: Pass, files: Files, folder: Path) -> None:
    """Write the files that a pass has left into the run's folder; its result, which ends the pass, is the last.

    The files of a training pass replace earlier ones; other passes of the run may already have ended.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in RESUME_FILES if name == "train" else ():
        if file in files:
            write_whole(folder / file, files[file])
        else:
            (folder / file).unlink(missing_ok=True)
    with (folder / LOG).open("ab") as log:
        log.write(files.get(LOG, b""))
    result = pass_file(folder, name)
    if result.name in files:
        write_whole(result, files[result.name])


def write_position(folder: Path, position: str) -> None:
    """Write the position of a training into the run's folder, for `status`; nothing else depends on it."""
    with suppress(OSError):
        write_whole(folder / POSITION, position, lasting=False)


def write_failure(request: PassJob, status: Status, reason: str) -> None:
    """Write the result of a pass whose process could not write one."""
    result = _failed(status, reason, request.planned.spec.threads)
    write_whole(pass_file(request.folder, request.name), result.model_dump_json())


def _failed(status: Status, reason: str, threads: int) -> PassResult:
    """Return a result with machine and versions of this process: runs with other versions are not averaged."""
    failure = Failure(reason=reason)
    return PassResult(status=status, failure=failure, machine=machine(threads, None), versions=versions())


def _read(folder: Path, names: Sequence[str]) -> Files:
    files = {}
    for name in names:
        if (path := folder / name).exists():
            with path.open("rb") as file:
                if name == LOG:
                    file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
                files[name] = file.read()
    return files


# --- the machine that runs the pass


def run_pass(job: Job, files: Files, stopping: Callable[[], bool], tell: Callable[[Path], None] | None = None) -> Files:
    """Run a pass in a temporary folder; return the files that it left.

    Every end of the child gives a result, unless the pass was stopped; a stopped training pass leaves a checkpoint.
    If this machine fails (no space, no process), the files from which the pass resumes are returned unchanged.

    Args:
        job: the pass.
        files: the files from which it resumes.
        stopping: function that returns whether to stop; it is called several times a second.
        tell: function that is called with the folder, equally often.
    """
    name = job["name"]
    try:
        with tempfile.TemporaryDirectory(prefix="throughtime-") as scratch:
            folder = Path(scratch)
            prepare_folder(folder, job, files)
            run_supervised(folder, stopping, tell)
            return files_left(name, folder)
    except OSError as error:  # no space or no processes: a fault of this machine, which the record names
        status: Status = "killed" if error.errno in DISK_FULL else "error"  # after `killed`, training resumes
        reason = f"on {socket.gethostname()}: {type(error).__name__}: {error}"
        result = _failed(status, reason, job["spec"]["threads"])
        return {**files, f"{name}.json": result.model_dump_json().encode()}


def run_supervised(folder: Path, stopping: Callable[[], bool], tell: Callable[[Path], None] | None = None) -> None:
    """Run the pass of a prepared folder in a child process, and supervise it.

    Raises:
        OSError: the folder cannot be written, or no process started.
    """
    job: Job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    name, threads, limits = job["name"], job["spec"]["threads"], Limits(*job["limits"])
    pass_file(folder, name).unlink(missing_ok=True)
    if job["version"] != __version__:
        return _refuse(folder, name, f"has throughtime {__version__}, the sweep is of {job['version']}")
    with _machine_for(name, stopping), (folder / LOG).open("ab") as log:
        if stopping():
            return
        words = [sys.executable, "-m", "throughtime.running.engines.remote", str(folder)]
        environment = _environment(job)
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        ) as child:
            supervisor = Supervisor(child.pid, child.poll, name, threads, folder, limits)
            try:
                stopped = False
                while not supervisor.over():
                    if stopping():
                        stopped = True
                        supervisor.ask_to_stop()
                    if tell:
                        tell(folder)
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(POLL_SECONDS)
                if not stopped:
                    supervisor.write_failure()
            finally:
                supervisor.kill()
    if pass_file(folder, name).exists() and read_result(folder, name).stale_code:
        _refuse(folder, name, "has another state of the code than the sweep")


def _refuse(folder: Path, name: Pass, why: str) -> None:
    result = PassResult(status="error", stale_code=f"the worker on {socket.gethostname()} {why}")
    write_whole(pass_file(folder, name), result.model_dump_json())


def _environment(job: Job) -> dict[str, str]:
    environment = dict(os.environ)
    for name, value in job["environment"].items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    environment[DATA] = os.pathsep.join([*job["data"], *map(str, sources())])
    return environment


@contextmanager
def _machine_for(name: Pass, stopping: Callable[[], bool]) -> Iterator[None]:
    """Lock the machine for a measuring pass, so that they run one at a time."""
    lock = MachineLock()
    if PASSES[name].exclusive:
        lock.acquire(print, stopping)
    try:
        yield
    finally:
        lock.release()


# --- the child


def main(folder: Path) -> None:
    """Run the pass of a prepared folder. The process ends when its standard input closes: its parent has ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # the warning of a batch system is for the parent
    job: Job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    plugins = []
    for number, (file, source) in enumerate(job["plugins"]):
        place = folder / "plugins" / str(number)  # two plugins may have the same file name
        place.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(source, encoding="utf-8")
        plugins.append(str(place / file))
    from throughtime.passes.child import main as run

    run(job["name"], job["spec"], job["code"], folder, plugins)


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock a thread must not hold when the interpreter ends
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
