"""Passes on the workers of a Dask cluster, each on one thread of a worker.

The network transports a `Job` to a worker, and bytes of files in both directions. When a worker dies, Dask runs its
pass on another one; the files that the pass had not sent back are lost.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from throughtime import __version__
from throughtime.errors import UsageError, first_line
from throughtime.records.files import POSITION
from throughtime.running.engine import PassJob
from throughtime.running.engines import remote
from throughtime.running.engines.remote_engine import RemoteEngine, SubmittedPass
from throughtime.running.limits import Limits
from throughtime.spec import PASSES

PASSES_A_THREAD = 2
"""Passes submitted for each thread of the cluster: one that runs, and one that follows without delay."""
WORKERS_SECONDS = 1.0
"""Time between two updates of the list of workers."""
NO_WORKER_SECONDS = 30.0
"""Time without any worker before a message to the user."""
FETCH_SECONDS = 60.0
"""Time to fetch the files of a pass; Dask may have to run it again if its worker died just now."""
REPORT_SECONDS = 2.0
"""Time between two reports of a training's position."""
CONNECT_SECONDS = 10.0
IGNORE_INTERRUPTS = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the runner\n"
"""Code that a worker of this machine runs first."""


def require_address(cluster: str) -> None:
    """Raise UsageError if a text is neither the address of a scheduler nor `local:N`."""
    if not re.fullmatch(r"local:[1-9]\d*|(?!local:)(\w+://)?.+:\d+", cluster):
        raise UsageError(f'"{cluster}" is no cluster', "--cluster", "tcp://HOST:PORT of a scheduler, local:N or slurm")


@dataclass(eq=False)
class DaskSubmission(SubmittedPass):
    """A pass that was submitted to the cluster."""

    future: Any
    host: str | None
    """Preferred worker of a measuring pass."""


class DaskEngine(RemoteEngine[DaskSubmission]):
    """Runs passes on a Dask cluster.

    Args:
        cluster: address of a scheduler, `tcp://host:8786`; or `local:N`: N workers that are started on this machine.
        plugins: files that a pass loads first; the job contains their text.
        limits: limits of each pass.
        tell: shows a line to the user.

    Raises:
        UsageError: dask.distributed is not installed, no scheduler answers, or a plugin cannot be read.
    """

    def __init__(self, cluster: str, plugins: Sequence[str], limits: Limits, tell: Callable[[str], None]) -> None:
        try:
            import distributed
        except ImportError as error:
            raise UsageError("--cluster needs dask.distributed", hint="pip install 'throughtime[cluster]'") from error
        require_address(cluster)
        super().__init__(plugins, limits, tell)
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # this module reports errors itself
        self._threads: dict[str, int] = {}
        self._looked = float("-inf")
        self._no_worker_since: float | None = time.monotonic()
        self._cluster, self._address = None, cluster
        if cluster.startswith("local:"):
            self._cluster = _local_cluster(int(cluster.removeprefix("local:")))
            self._address = self._cluster.scheduler_address
        try:
            security = self._cluster.security if self._cluster else None  # None: that of Dask's configuration
            self._client = distributed.Client(
                self._address, timeout=CONNECT_SECONDS, set_as_default=False, security=security
            )
        except (OSError, ValueError, TypeError) as error:  # TypeError: `tls://` without a certificate
            raise UsageError(
                f"no Dask scheduler answers ({first_line(error) or type(error).__name__})",
                where=self._address,
                hint="start one with `dask scheduler`, and workers with `dask worker ADDRESS`",
            ) from error
        self._client.subscribe_topic(self._topic, self._show_position)

    @property
    def _topic(self) -> str:
        return f"throughtime-{self._sweep}"

    def width(self, exclusive: bool) -> int:
        self._look()
        return len(self._hosts()) if exclusive else PASSES_A_THREAD * sum(self._threads.values())

    def start(self, job: PassJob) -> None:
        import dask

        host, where = None, {}
        if PASSES[job.name].exclusive:
            taken = Counter(submitted.host for submitted in self._submitted)
            host = min(self._hosts(), key=lambda candidate: taken[candidate], default=None)
            if host:
                on_it = [address for address in self._threads if _host(address) == host]
                where = {"workers": on_it, "allow_other_workers": True}
        key = f"{job.name}-{job.planned.id}-{self._sweep}-{uuid.uuid4().hex[:8]}"
        message, files = self.job(job), remote.resume_files(job.name, job.folder)
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TiB"}):  # may contain a checkpoint
            future = self._client.submit(on_worker, message, files, key, self._topic, key=key, pure=False, **where)
        self._submitted.append(DaskSubmission(job, future, host))
        future.add_done_callback(lambda _: self._reported.set())

    def wait(self, seconds: float) -> list[PassJob]:
        self._look()
        return super().wait(seconds)

    def stop(self) -> None:
        with suppress(OSError):  # the scheduler has ended, and with it the running passes
            super().stop()

    def close(self) -> None:
        self._client.close()
        if self._cluster:
            self._cluster.close()

    def _hosts(self) -> list[str]:
        return list(dict.fromkeys(_host(address) for address in self._threads))

    def _look(self) -> None:
        """Update the list of workers; tell the user if there has been no worker for NO_WORKER_SECONDS."""
        now = time.monotonic()
        if now - self._looked < WORKERS_SECONDS:
            return
        try:
            self._threads = self._client.nthreads()
        except (OSError, ValueError, RuntimeError) as error:
            raise self._gone() from error
        self._looked = now
        if self._threads:
            self._no_worker_since = None
        elif self._no_worker_since is None:
            self._no_worker_since = now
        elif now - self._no_worker_since > NO_WORKER_SECONDS:
            self._tell(f"the scheduler {self._address} has no workers; waiting for one (`dask worker {self._address}`)")
            self._no_worker_since = float("inf")

    def _request_stop(self) -> None:
        if not self._submitted:
            return
        if self._threads and self._client.status == "running":
            self._client.run(stop_on_worker, self._topic, on_error="ignore")
        else:
            self._cancel(self._submitted)
            self._submitted = []

    def _has_left(self, submission: DaskSubmission) -> bool:
        return submission.future.done()

    def _cancel(self, submissions: list[DaskSubmission]) -> None:
        if submissions and self._client.status == "running":
            self._client.cancel([submission.future for submission in submissions], force=True)

    def _files(self, submission: DaskSubmission) -> remote.Files | None:
        finished = submission.future.status == "finished"
        return submission.future.result(timeout=FETCH_SECONDS) if finished else None

    def _ended(self, submission: DaskSubmission) -> bool:
        """Return whether a pass has ended, with its files in its run's folder.

        Raises:
            UsageError: the scheduler has ended, or a worker cannot run passes.
        """
        if not submission.future.done():
            return False
        from distributed import KilledWorker
        from distributed import TimeoutError as NotYetError  # before Python 3.11 this is not the built-in TimeoutError

        job, future = submission.request, submission.future
        if future.status in ("cancelled", "lost"):
            raise self._gone()
        try:
            remote.receive_files(job.name, future.result(timeout=FETCH_SECONDS), job.folder)
        except NotYetError:
            return False
        except KilledWorker as error:
            last = _host(error.last_worker.address)
            died = f"{error.allowed_failures + 1} workers died in it, the last on {last}"
            remote.write_failure(job, "killed", died)
        except Exception as error:
            if future.status != "error":
                raise
            raise UsageError(
                f"a worker cannot make passes: {type(error).__name__}: {first_line(error)}",
                where=self._address,
                hint=self._other_versions() or "see the worker's own log",
            ) from error
        return True

    def _other_versions(self) -> str:
        """Return the workers that have another version of throughtime, and that version."""
        worker_versions = self._client.run(version, "throughtime", on_error="return")
        other = {_host(address): has for address, has in worker_versions.items() if has != version("throughtime")}
        found_on = (f"{host} has {has if isinstance(has, str) else 'no throughtime'}" for host, has in other.items())
        return f"each worker needs throughtime {__version__}: {', '.join(found_on)}" if other else ""

    def _gone(self) -> UsageError:
        return UsageError(
            "the Dask scheduler is gone",
            where=self._address,
            hint="finished runs are recorded; repeat the command to continue",
        )

    def _show_position(self, event: tuple[float, dict[str, Any]]) -> None:
        """Show the position that a training has reported."""
        report = event[1]
        for submission in self._submitted:
            if submission.future.key == report["key"]:
                remote.write_position(submission.request.folder, report["position"])


def _host(address: str) -> str:
    return address.rpartition("://")[2].rpartition(":")[0]


def _local_cluster(workers: int) -> Any:
    """Start a scheduler and workers on this machine, which talk to each other and to this process alone.

    Other users of the machine can reach their ports: TLS with a certificate that exists only in the memory of these
    processes refuses them. The dashboard shows its state to them, and takes no code.
    """
    import distributed

    try:
        security = distributed.Security.temporary()
    except ImportError as error:
        raise UsageError("--cluster local:N needs cryptography", hint="pip install 'throughtime[cluster]'") from error
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        protocol="tls",
        security=security,
        dashboard_address="127.0.0.1:0",
        preload=[IGNORE_INTERRUPTS],
    )


# --- on the worker

_stopped: set[str] = set()
"""Sweeps whose passes must stop."""


def stop_on_worker(topic: str) -> None:
    """Stop the present and future passes of a sweep on this worker."""
    _stopped.add(topic)


def on_worker(job: remote.Job, files: remote.Files, key: str, topic: str) -> remote.Files:
    """Run a pass. It stops when the runner stops it, cancels it or ends, or when the worker closes."""
    from distributed import Status, get_worker

    worker = get_worker()
    shown, next_look = "", 0.0

    def stopping() -> bool:
        task = worker.state.tasks.get(key)
        unwanted = task is None or task.state == "cancelled"
        return topic in _stopped or unwanted or worker.status not in (Status.running, Status.paused)

    def tell(folder: Path) -> None:
        nonlocal shown, next_look
        position = folder / POSITION
        if time.monotonic() > next_look and position.exists() and (now := position.read_text("utf-8")) != shown:
            shown, next_look = now, time.monotonic() + REPORT_SECONDS
            worker.log_event(topic, {"key": key, "position": now})

    return remote.run_pass(job, files, stopping, tell)
