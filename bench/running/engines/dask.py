"""Passes on the workers of a Dask cluster, each on one thread of a worker.

The network transports a `Job` to a worker, and bytes of files in both directions. When a worker dies, Dask runs its
pass on another one; the files that the pass had not sent back are lost.
"""

from __future__ import annotations

import logging
import queue
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from throughtime import __version__
from throughtime.errors import UsageError, first_line
from throughtime.records.files import POSITION
from throughtime.running.engine import Engine, PassJob
from throughtime.running.engines.remote import Files, Job, Jobs, make_pass, saved, settle, show, take
from throughtime.running.engines.supervisor import GRACE_SECONDS
from throughtime.running.limits import Limits
from throughtime.spec import PASSES

AHEAD = 2
"""Passes submitted for each thread of the cluster: one that runs, and one that follows without delay."""
LOOK_SECONDS = 1.0
"""Time between two updates of the list of workers."""
ALONE_SECONDS = 30.0
"""Time without any worker before a message to the user."""
FETCH_SECONDS = 60.0
"""Time to fetch the files of a pass; Dask may have to run it again if its worker died just now."""
TELL_SECONDS = 2.0
"""Time between two reports of a training's position."""
CONNECT_SECONDS = 10.0
IGNORE_INTERRUPTS = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the runner\n"
"""Code that a worker of this machine runs first."""


def require_address(cluster: str) -> None:
    """Raise UsageError if a text is neither the address of a scheduler nor `local:N`."""
    if not re.fullmatch(r"local:[1-9]\d*|(?!local:)(\w+://)?.+:\d+", cluster):
        raise UsageError(f'"{cluster}" is no cluster', "--cluster", "tcp://HOST:PORT of a scheduler, local:N or slurm")


class Submitted(NamedTuple):
    """A pass that was submitted to the cluster."""

    request: PassJob
    future: Any
    host: str | None
    """Preferred worker of a measuring pass."""


class DaskEngine(Engine):
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
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # this module reports errors itself
        self._jobs, self._tell = Jobs(plugins, limits), tell
        self._sweep = uuid.uuid4().hex[:8]
        self._submitted: dict[str, Submitted] = {}
        self._over: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads: dict[str, int] = {}
        self._looked = float("-inf")
        self._alone_since: float | None = time.monotonic()
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
        return len(self._hosts()) if exclusive else AHEAD * sum(self._threads.values())

    def start(self, job: PassJob) -> None:
        import dask

        host, where = None, {}
        if PASSES[job.name].exclusive:
            taken = Counter(submitted.host for submitted in self._submitted.values())
            host = min(self._hosts(), key=lambda candidate: taken[candidate], default=None)
            if host:
                on_it = [address for address in self._threads if _host(address) == host]
                where = {"workers": on_it, "allow_other_workers": True}
        key = f"{job.name}-{job.planned.id}-{self._sweep}-{uuid.uuid4().hex[:8]}"
        message, files = self._jobs.of(job), saved(job.name, job.folder)
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TiB"}):  # may contain a checkpoint
            future = self._client.submit(on_worker, message, files, key, self._topic, key=key, pure=False, **where)
        self._submitted[key] = Submitted(job, future, host)
        future.add_done_callback(lambda _: self._over.put(key))

    @property
    def at_work(self) -> list[PassJob]:
        return [submitted.request for submitted in self._submitted.values()]

    def wait(self, seconds: float) -> list[PassJob]:
        self._look()
        over = []
        try:
            key = self._over.get(timeout=seconds)
            while key not in self._submitted or self._end(key):
                if key in self._submitted:
                    over.append(self._submitted.pop(key).request)
                key = self._over.get_nowait()
        except queue.Empty:
            pass
        return over

    def stop(self) -> None:
        try:
            if self._submitted and self._threads and self._client.status == "running":
                self._client.run(stop_on_worker, self._topic, on_error="ignore")
                deadline = time.monotonic() + GRACE_SECONDS + 5
                while self._submitted and time.monotonic() < deadline:
                    try:
                        key = self._over.get(timeout=0.2)
                    except queue.Empty:
                        continue
                    if key not in self._submitted:
                        continue
                    job, future, _ = self._submitted.pop(key)
                    if future.status == "finished":
                        take(job.name, future.result(timeout=FETCH_SECONDS), job.folder)
        except OSError:  # the scheduler has ended, and with it the running passes
            return
        finally:
            futures = [submitted.future for submitted in self._submitted.values()]
            self._submitted.clear()
            if futures and self._client.status == "running":
                self._client.cancel(futures, force=True)

    def close(self) -> None:
        self._client.close()
        if self._cluster:
            self._cluster.close()

    def _hosts(self) -> list[str]:
        return list(dict.fromkeys(_host(address) for address in self._threads))

    def _look(self) -> None:
        """Update the list of workers; tell the user if there has been no worker for ALONE_SECONDS."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        try:
            self._threads = self._client.nthreads()
        except (OSError, ValueError, RuntimeError) as error:
            raise self._gone() from error
        self._looked = now
        if self._threads:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since > ALONE_SECONDS:
            self._tell(f"the scheduler {self._address} has no workers; waiting for one (`dask worker {self._address}`)")
            self._alone_since = float("inf")

    def _end(self, key: str) -> bool:
        """Write the files of a pass into its run's folder; return False if the pass has not ended.

        Raises:
            UsageError: the scheduler has ended, or a worker cannot run passes.
        """
        from distributed import KilledWorker
        from distributed import TimeoutError as NotYetError  # before Python 3.11 this is not the built-in TimeoutError

        job, future, _ = self._submitted[key]
        if future.status in ("cancelled", "lost"):
            raise self._gone()
        try:
            take(job.name, future.result(timeout=FETCH_SECONDS), job.folder)
        except NotYetError:
            self._over.put(key)
            return False
        except KilledWorker as error:
            last = _host(error.last_worker.address)
            died = f"{error.allowed_failures + 1} workers died in it, the last on {last}"
            settle(job, "killed", died)
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
        if submitted := self._submitted.get(report["key"]):
            show(submitted.request.folder, report["position"])


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


def on_worker(job: Job, files: Files, key: str, topic: str) -> Files:
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
            shown, next_look = now, time.monotonic() + TELL_SECONDS
            worker.log_event(topic, {"key": key, "position": now})

    return make_pass(job, files, stopping, tell)
