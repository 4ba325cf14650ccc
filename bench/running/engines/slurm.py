"""Passes as jobs of a Slurm cluster, submitted with submitit.

    <results>/<suite>/.work/.slurm/<sweep>/
        <id>-<pass>/   input and output files of a pass; `begun` and `over` contain the state of the job
        submitit/      the jobs' scripts, logs, and the pickles that submitit writes and its jobs read

The results folder is shared with the nodes. The runner reads its own JSON files and queries Slurm for states; submitit
never loads the pickled result of a job. A job ends when its folder is removed, so that jobs that a killed runner left
in the queue stop with the next sweep.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from throughtime.errors import UsageError, first_line
from throughtime.records.files import POSITION
from throughtime.records.pass_result import pass_file
from throughtime.records.record import Status
from throughtime.running.assembly import read_result
from throughtime.running.engine import PassJob
from throughtime.running.engines import remote
from throughtime.running.engines.remote_engine import POLL_SECONDS, RemoteEngine, SubmittedPass
from throughtime.running.engines.slurm_file import load_settings, require_slurm, within_time_limit
from throughtime.running.limits import Limits
from throughtime.spec import PASSES
from throughtime.whole_files import write_whole

FOLDER = ".slurm"
STOP, BEGUN, OVER = "stop", "begun", "over"
"""Files in a job's folder, which state that it must stop, that it has begun, and how it has ended."""
WARNED_SECONDS = 90
"""Time before its end at which Slurm warns a job; a training then writes a checkpoint."""
QUERY_SECONDS = 30.0
"""Time between two queries of the states of all jobs; files show the end of jobs without a failure."""
MOST_RESUBMISSIONS = 2
"""Largest number of resubmissions of a pass that lost its node."""
LOST = ("NODE_FAIL", "PREEMPTED", "BOOT_FAIL")
ENDED: dict[str, Status] = {
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "OUT_OF_MEMORY": "oom",
    "CANCELLED": "killed",
    "INTERRUPTED": "killed",
    "FAILED": "error",
    "COMPLETED": "error",
    "FINISHED": "error",
}
"""States in which a job has ended, and the status of a pass without a result in each state. Two of them are those of
submitit's processes on this machine."""


@dataclass(eq=False)
class SlurmSubmission(SubmittedPass):
    """A pass that was submitted to Slurm, or will be."""

    folder: Path
    job: Any = None
    """Job of submitit; None: not submitted yet."""
    lost: list[str] = field(default_factory=list)
    """States in which its jobs lost their nodes."""


class SlurmEngine(RemoteEngine[SlurmSubmission]):
    """Runs passes on a Slurm cluster, each in a job of its own.

    Args:
        config: path of the YAML file with the cluster's settings.
        plugins: files that a pass loads first; the job contains their text.
        limits: limits of each pass.
        tell: shows a line to the user.

    Raises:
        UsageError: submitit or Slurm is not installed, the file is invalid, or a plugin cannot be read.
    """

    def __init__(self, config: str | Path, plugins: Sequence[str], limits: Limits, tell: Callable[[str], None]) -> None:
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise UsageError("--cluster slurm needs submitit", hint="pip install 'throughtime[cluster]'") from error
        super().__init__(plugins, limits, tell)
        self._config, self._settings = str(config), load_settings(config)
        if self._settings.cluster == "slurm":
            require_slurm()
        self._folder: Path | None = None
        self._asked = time.monotonic()

    def width(self, exclusive: bool) -> int:
        return self._settings.array_parallelism

    def start(self, job: PassJob) -> None:
        if self._folder is None:
            shutil.rmtree(job.folder.parent / FOLDER, ignore_errors=True)  # remains of a runner that was killed
            self._folder = (job.folder.parent / FOLDER / self._sweep).resolve()
        folder = self._folder / f"{job.planned.id}-{job.name}"
        shutil.rmtree(folder, ignore_errors=True)
        remote.prepare_folder(folder, self.job(job), remote.resume_files(job.name, job.folder))
        self._submitted.append(SlurmSubmission(job, folder))

    def wait(self, seconds: float) -> list[PassJob]:
        self._submit()
        return super().wait(seconds)

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder.parent, ignore_errors=True)

    # --- submission

    def _submit(self) -> None:
        """Submit the passes started since the last call: one array of measuring passes, one of the others.

        Raises:
            UsageError: Slurm rejects the submission.
        """
        new = [submitted for submitted in self._submitted if submitted.job is None]
        for exclusive in (True, False):
            those = [attempt for attempt in new if PASSES[attempt.request.name].exclusive is exclusive]
            if not those:
                continue
            executor = self._executor(those[0], exclusive)
            try:
                jobs = within_time_limit("sbatch", partial(self._submitted_jobs, executor, those))
            except UsageError:
                raise
            except Exception as error:  # submitit has several classes of errors, and passes on those of subprocess
                raise UsageError(f"Slurm does not take a job: {_sbatch_error(error)}", where=self._config) from error
            for attempt, job in zip(those, jobs, strict=True):
                attempt.job = job

    def _submitted_jobs(self, executor: Any, those: Sequence[SlurmSubmission]) -> list[Any]:
        with executor.batch():
            return [executor.submit(run_pass_in, str(attempt.folder), self._settings.time) for attempt in those]

    def _executor(self, attempt: SlurmSubmission, exclusive: bool) -> Any:
        import submitit

        given, spec = self._settings, attempt.request.planned.spec
        executor = submitit.AutoExecutor(folder=attempt.folder.parent / "submitit", cluster=given.cluster)
        shared = {
            "name": f"throughtime-{spec.suite}",
            "timeout_min": math.ceil(given.time / 60),
            "cpus_per_task": given.cpus or spec.threads,
            "gpus_per_node": given.gpus,
            "mem_gb": None if given.memory is None else given.memory / 2**30,
        }
        slurm = {
            "slurm_partition": given.partition,
            "slurm_account": given.account,
            "slurm_array_parallelism": given.array_parallelism,
            "slurm_setup": given.setup or None,
            "slurm_exclusive": True if given.exclusive and exclusive else None,
            "slurm_signal_delay_s": WARNED_SECONDS,
            # This engine resubmits jobs that lost their node; if Slurm did so, too, they would run twice.
            "slurm_additional_parameters": {"no-requeue": True, **given.extra},
        }
        executor.update_parameters(**{name: value for name, value in {**shared, **slurm}.items() if value is not None})
        return executor

    def _cancel(self, those: list[SlurmSubmission]) -> None:
        for attempt in those:
            if attempt.job is not None:
                try:
                    within_time_limit("scancel", partial(attempt.job.cancel, check=True))
                except (OSError, subprocess.CalledProcessError):  # the job has just ended
                    pass
                except UsageError as error:
                    self._tell(f"job {attempt.job.job_id} may still run: {error.what}")
                while self._settings.cluster == "local" and not attempt.job.done():
                    time.sleep(POLL_SECONDS)

    # --- end of a job

    def _request_stop(self) -> None:
        waiting = [submission for submission in self._submitted if not (submission.folder / BEGUN).exists()]
        for submission in self._submitted:
            with suppress(OSError):
                (submission.folder / STOP).touch()
        self._cancel(waiting)
        self._submitted = [submission for submission in self._submitted if submission not in waiting]

    def _files(self, submission: SlurmSubmission) -> remote.Files:
        return remote.files_left(submission.request.name, submission.folder)

    def _ended(self, attempt: SlurmSubmission) -> bool:
        """Return whether a pass has ended, with its files in its run's folder; resubmit it if its node was lost."""
        if attempt.job is None:
            return False
        state = self._state(attempt)
        if not self._has_left(attempt):
            if POSITION in _names(attempt.folder):
                with suppress(OSError):
                    remote.write_position(
                        attempt.request.folder, (attempt.folder / POSITION).read_text(encoding="utf-8")
                    )
            if state in LOST:
                return self._lost(attempt, state)
            if state not in ENDED:
                return False
            return self._finish(
                attempt, ENDED[state], f"its job ended as {state} and left no result: {_end_of_log(attempt)}"
            )
        how = json.loads((attempt.folder / OVER).read_text(encoding="utf-8"))["cut"]
        if how == "preempted":
            return self._lost(attempt, "PREEMPTED")
        if how == "time":
            return self._finish(attempt, "timeout", f"not done in the {self._settings.time:g} s that Slurm gives a job")
        if _was_killed(attempt):  # possibly by Slurm, whose state gives the reason
            if state in LOST:
                return self._lost(attempt, state)
            if state not in ENDED:
                return False
            if state == "CANCELLED":
                return self._finish(attempt, "killed", "its job was cancelled")
        return self._finish(attempt)

    def _has_left(self, attempt: SlurmSubmission) -> bool:
        """Return whether the job has finished; a process on this machine must have ended, too."""
        return OVER in _names(attempt.folder) and (self._settings.cluster == "slurm" or attempt.job.done())

    def _state(self, attempt: SlurmSubmission) -> str:
        """Return the job's state; Slurm is queried at intervals, for all jobs at once."""
        now = time.monotonic()
        if self._settings.cluster == "local":
            return attempt.job.state
        if now - self._asked > QUERY_SECONDS:
            self._asked = now
            try:
                within_time_limit("sacct", attempt.job.watcher.update)
            except UsageError as error:  # the states are those of the last answer
                self._tell(f"{error.what}; the sweep continues")
        return attempt.job.watcher.get_state(attempt.job.job_id, mode="cache").partition(" ")[0]  # `CANCELLED by 1000`

    def _lost(self, attempt: SlurmSubmission, state: str) -> bool:
        """Submit the pass again, from its checkpoint if there is one, up to `MOST_RESUBMISSIONS` times."""
        attempt.lost.append(state)
        if len(attempt.lost) > MOST_RESUBMISSIONS:
            lost = ", ".join(attempt.lost)
            return self._finish(attempt, "killed", f"{len(attempt.lost)} jobs lost their node in it ({lost})")
        before, attempt.folder = attempt.folder, attempt.folder.with_name(f"{attempt.folder.name}-{len(attempt.lost)}")
        remote.prepare_folder(
            attempt.folder, self.job(attempt.request), remote.resume_files(attempt.request.name, before)
        )
        shutil.rmtree(before, ignore_errors=True)  # if the node returns, the job on it ends
        self._tell(
            f"{attempt.request.planned.spec.label}: {attempt.request.name} pass lost its node ({state}), "
            "submitted again"
        )
        attempt.job = None
        return False

    def _finish(self, attempt: SlurmSubmission, status: Status | None = None, reason: str = "") -> bool:
        """Write the files of a pass into its run's folder, and its status if the pass wrote none."""
        remote.receive_files(attempt.request.name, self._files(attempt), attempt.request.folder)
        if status:
            remote.write_failure(attempt.request, status, reason)
        shutil.rmtree(attempt.folder, ignore_errors=True)
        return True


def _sbatch_error(error: Exception) -> str:
    """Return the error line of sbatch: submitit's messages begin with the command."""
    lines = [line.strip() for line in str(error).splitlines() if "error" in line.lower()]
    return lines[-1] if lines else first_line(error)


def _was_killed(attempt: SlurmSubmission) -> bool:
    return (
        pass_file(attempt.folder, attempt.request.name).exists()
        and read_result(attempt.folder, attempt.request.name).status == "killed"
    )


def _end_of_log(attempt: SlurmSubmission) -> str:
    """Return the last line that the job wrote to its error output."""
    with suppress(OSError, IndexError):
        return attempt.job.paths.stderr.read_text(encoding="utf-8", errors="replace").splitlines()[-1]
    return "it wrote no log"


def _names(folder: Path) -> set[str]:
    """Return the names in a folder: unlike a look at one file, a listing makes a network file system ask its server."""
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()


# --- inside the job


def run_pass_in(folder: str, seconds: float) -> None:
    """Run, in the job, the pass of a prepared folder, and write there that it has ended.

    Args:
        folder: folder of the job, shared with the runner.
        seconds: time limit of the job; Slurm warns before its end, and a training then writes a checkpoint.
    """
    place, began = Path(folder), time.monotonic()
    cut: str | None = None

    def warned(signum: int, frame: Any) -> None:
        nonlocal cut
        out_of_time = time.monotonic() - began > seconds - 2 * WARNED_SECONDS
        cut = "time" if out_of_time else "preempted"

    def stopping() -> bool:
        return cut is not None or STOP in (names := _names(place)) or remote.JOB not in names

    if stopping():
        return
    signal.signal(signal.SIGUSR2, warned)  # replaces submitit's handler, which ends this process
    (place / BEGUN).touch()
    remote.run_supervised(place, stopping)
    if place.exists():
        name = json.loads((place / remote.JOB).read_text(encoding="utf-8"))["name"]
        whole = pass_file(place, name).exists()  # the pass had ended when the warning came
        write_whole(place / OVER, json.dumps({"cut": None if whole else cut}))
