"""The engine of a cluster: what Dask and Slurm share on the side of the runner."""

from __future__ import annotations

import threading
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from throughtime.running.engine import Engine, PassJob
from throughtime.running.engines.remote import PassDescription, describe_pass, read_plugins
from throughtime.running.engines.supervisor import GRACE_SECONDS
from throughtime.running.limits import Limits


@dataclass(eq=False)
class ClusterJob:
    """A pass that a cluster runs, or will run."""

    request: PassJob
    handle: Any = None
    """What the cluster's library returned for it; None: not submitted yet."""
    host: str | None = None
    """Preferred worker of a measuring pass, with Dask."""
    folder: Path = Path()
    """Folder that the job shares with the runner, with Slurm."""
    lost: list[str] = field(default_factory=list)
    """States in which its jobs lost their nodes, with Slurm."""


class RemoteEngine(Engine):
    """Runs passes on a cluster. A subclass submits them, detects their end, fetches their files and cancels them.

    Args:
        plugins: files that a pass loads first; its description contains their text.
        limits: limits of each pass.
        tell: shows a line to the user.

    Raises:
        UsageError: a plugin cannot be read.
    """

    poll_seconds: ClassVar[float]
    """Longest time between two looks at the submitted passes."""

    def __init__(self, plugins: Sequence[str], limits: Limits, tell: Callable[[str], None]) -> None:
        self._plugins, self._limits, self._tell = read_plugins(plugins), limits, tell
        self._sweep = uuid.uuid4().hex[:8]
        self._submitted: list[ClusterJob] = []
        self._changed = threading.Event()
        """Set when a pass may have ended, to look before `poll_seconds`."""

    @abstractmethod
    def _submit(self, new: list[ClusterJob]) -> None:
        """Submit passes and set their handles. Each `wait` calls this, also without new passes."""

    @abstractmethod
    def _ended(self, job: ClusterJob) -> bool:
        """Return whether a pass has ended; its files, with a result, are then in its run's folder.

        Raises:
            UsageError: the cluster no longer runs passes.
        """

    @abstractmethod
    def _ask_to_stop(self) -> bool:
        """Ask the running passes to stop; return whether any may still leave a checkpoint."""

    @abstractmethod
    def _has_left(self, job: ClusterJob) -> bool:
        """Return whether a submitted pass has ended and left its files."""

    @abstractmethod
    def _fetch(self, job: ClusterJob) -> None:
        """Write the files that a pass has left into its run's folder."""

    @abstractmethod
    def _cancel(self, jobs: list[ClusterJob]) -> None:
        """End passes at once."""

    def _description(self, request: PassJob) -> PassDescription:
        return describe_pass(request, self._plugins, self._limits)

    def start(self, job: PassJob) -> None:
        self._submitted.append(ClusterJob(job))

    @property
    def at_work(self) -> list[PassJob]:
        return [job.request for job in self._submitted]

    def wait(self, seconds: float) -> list[PassJob]:
        self._submit([job for job in self._submitted if job.handle is None])
        until = time.monotonic() + seconds
        while not (over := self._remove(self._ended)) and (left := until - time.monotonic()) > 0:
            self._changed.wait(min(self.poll_seconds, left))
            self._changed.clear()
        return over

    def stop(self) -> None:
        self._submitted = [job for job in self._submitted if job.handle is not None]
        try:
            deadline = time.monotonic() + GRACE_SECONDS + 5
            stopping = self._ask_to_stop()
            while stopping and self._submitted and time.monotonic() < deadline:
                self._remove(self._fetched)
                self._changed.wait(self.poll_seconds)
                self._changed.clear()
        except OSError:  # the cluster has ended, and with it the running passes
            pass
        finally:
            self._cancel(self._submitted)
            self._submitted.clear()

    def _fetched(self, job: ClusterJob) -> bool:
        if has_left := self._has_left(job):
            self._fetch(job)
        return has_left

    def _remove(self, over: Callable[[ClusterJob], bool]) -> list[PassJob]:
        """Remove the passes that are over, and return them."""
        removed = []
        for job in list(self._submitted):
            if over(job):
                self._submitted.remove(job)
                removed.append(job.request)
        return removed
