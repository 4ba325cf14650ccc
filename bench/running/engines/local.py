"""Passes in fresh processes of this machine."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from throughtime.running.engines.base import Engine, Work
from throughtime.running.engines.watched import Watched
from throughtime.running.limits import Limits
from throughtime.spec import PASSES

MACHINE_LOCK = Path(tempfile.gettempdir()) / f"throughtime-{os.getuid()}.lock"
PRELOADED = ("throughtime.passes.child", "torch._dynamo", "numba")
"""What the fork server imports, once. The last two would cost each child a second: a first optimiser imports dynamo, a
first compiled loop numba."""


@contextmanager
def _unheard() -> Iterator[None]:
    """A process that is started in here ignores the signals that end a runner.

    The fork server is of the runner's group, and a terminal or a batch system signals the whole group: without the
    server no child could be waited for, and none would get to keep its checkpoint.
    """
    before = {}
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with suppress(ValueError):  # not the main thread
            before[signum] = signal.signal(signum, signal.SIG_IGN)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def start_fork_server() -> None:
    """Have the fork server import what children need, while the caller does something else. Children get the
    environment of now. Done once; again it does nothing."""
    multiprocessing.forkserver.set_forkserver_preload(list(PRELOADED))
    with _unheard():
        multiprocessing.forkserver.ensure_running()


class Child(NamedTuple):
    """A process and the pass it runs."""

    work: Work
    process: BaseProcess
    watched: Watched


class LocalEngine(Engine):
    """Starts each pass from a fork server that has imported torch and run nothing.

    Measuring passes run one at a time, under a lock that all runners of this user on this machine share.

    Args:
        plugins: files that children load before anything else.
        limits: of each pass.
        jobs: training passes at a time.
        tell: shows a line to the user.
    """

    def __init__(self, plugins: Sequence[str], limits: Limits, jobs: int, tell: Callable[[str], None]) -> None:
        self._plugins, self._limits, self._jobs, self._tell = list(plugins), limits, jobs, tell
        self._processes = multiprocessing.get_context("forkserver")
        start_fork_server()
        self._children: list[Child] = []
        self._machine = FileLock(MACHINE_LOCK)

    def width(self, exclusive: bool) -> int:
        return 1 if exclusive else self._jobs

    def start(self, work: Work) -> None:
        from throughtime.passes.child import main

        if PASSES[work.name].exclusive:
            self._take_machine()
        spec, code = work.planned.spec, work.planned.code
        process = self._processes.Process(
            target=main,
            args=(work.name, spec.model_dump(mode="json"), code, work.folder, self._plugins),
            daemon=True,
        )
        process.start()
        watched = Watched(
            process.pid or 0, lambda: process.exitcode, work.name, spec.threads, work.folder, self._limits
        )
        self._children.append(Child(work, process, watched))

    @property
    def at_work(self) -> list[Work]:
        return [child.work for child in self._children]

    def wait(self, seconds: float) -> list[Work]:
        wait([child.process.sentinel for child in self._children], timeout=seconds)
        over = [child for child in self._children if child.watched.over()]
        for child in over:
            self._forget(child)
            child.watched.settle()
        return [child.work for child in over]

    def stop(self) -> None:
        try:
            for child in self._children:
                child.watched.ask_to_stop()
            while self._children:
                wait([child.process.sentinel for child in self._children], timeout=0.1)
                for child in [child for child in self._children if child.watched.over()]:
                    self._forget(child)
        finally:
            for child in list(self._children):
                child.watched.kill()
                self._forget(child)

    def close(self) -> None:
        self._machine.release(force=True)

    def _forget(self, child: Child) -> None:
        child.process.join()
        self._children.remove(child)
        if PASSES[child.work.name].exclusive:
            self._machine.release()

    def _take_machine(self) -> None:
        """Take the machine for a measuring pass, once no other runner of this user measures."""
        try:
            self._machine.acquire(timeout=0)
        except Timeout:
            self._tell("waiting for another runner's measuring pass")
            self._machine.acquire()
