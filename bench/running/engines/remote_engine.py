"""The runner's side of passes on other machines, alike for each kind of cluster."""

from __future__ import annotations

import threading
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from throughtime.running.engine import Engine, PassJob
from throughtime.running.engines.remote import Files, Job, job_of, plugin_texts, receive_files
from throughtime.running.engines.supervisor import GRACE_SECONDS
from throughtime.running.limits import Limits

POLL_SECONDS = 0.5
"""Time between two looks at the submitted passes, unless the cluster reports an end."""


@dataclass(eq=False)
class SubmittedPass:
    """A pass that was submitted to a cluster, or will be."""

    request: PassJob


S = TypeVar("S", bound=SubmittedPass)


class RemoteEngine(Engine, Generic[S]):
    """Runs passes on other machines; a subclass submits them, and says how they ended.

    Args:
        plugins: files that a pass loads first; the constructor reads them.
        limits: limits of each pass.
        tell: shows a line to the user.

    Raises:
        UsageError: a plugin cannot be read.
    """

    def __init__(self, plugins: Sequence[str], limits: Limits, tell: Callable[[str], None]) -> None:
        self._plugins, self._limits, self._tell = plugin_texts(plugins), limits, tell
        self._sweep = uuid.uuid4().hex[:8]
        self._submitted: list[S] = []
        self._reported = threading.Event()
        """Set when the cluster reports the end of a pass."""

    def job(self, request: PassJob) -> Job:
        """Return the description of a pass for the machine that runs it."""
        return job_of(request, self._plugins, self._limits)

    @property
    def at_work(self) -> list[PassJob]:
        return [submission.request for submission in self._submitted]

    def wait(self, seconds: float) -> list[PassJob]:
        until, over = time.monotonic() + seconds, self._pop_ended()
        while not over and (remaining := until - time.monotonic()) > 0:
            self._reported.wait(min(POLL_SECONDS, remaining))
            self._reported.clear()
            over = self._pop_ended()
        return over

    def _pop_ended(self) -> list[PassJob]:
        over = []
        for submission in [*self._submitted]:
            if self._ended(submission):
                self._submitted.remove(submission)
                over.append(submission.request)
        return over

    def stop(self) -> None:
        try:
            self._request_stop()
            deadline = time.monotonic() + GRACE_SECONDS + 5
            while time.monotonic() < deadline and not all(map(self._has_left, self._submitted)):
                self._reported.wait(POLL_SECONDS)
                self._reported.clear()
        finally:
            self._cancel([submission for submission in self._submitted if not self._has_left(submission)])
            for submission in self._submitted:
                files = self._files(submission)
                if files is not None:
                    receive_files(submission.request.name, files, submission.request.folder)
            self._submitted = []

    @abstractmethod
    def _ended(self, submission: S) -> bool:
        """Return whether a pass has ended, with its files and its result in its run's folder."""

    @abstractmethod
    def _request_stop(self) -> None:
        """Request all passes to end; drop those that have not begun."""

    @abstractmethod
    def _has_left(self, submission: S) -> bool:
        """Return whether the process of a pass has ended."""

    @abstractmethod
    def _cancel(self, submissions: list[S]) -> None:
        """End passes immediately."""

    @abstractmethod
    def _files(self, submission: S) -> Files | None:
        """Return the files of a pass that was stopped; None if they are lost."""
