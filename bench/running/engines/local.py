"""Passes in fresh processes of this machine."""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import psutil
from filelock import FileLock, Timeout

from throughtime.errors import UsageError
from throughtime.running.engines.base import Engine, PassJob
from throughtime.running.engines.supervisor import Supervisor
from throughtime.running.limits import Limits, resident_bytes
from throughtime.spec import PASSES

MACHINE_LOCK = Path(tempfile.gettempdir()) / f"throughtime-{os.getuid()}.lock"
PRELOADED = ("throughtime.passes.child", "torch._dynamo", "numba")
"""Modules that the fork server imports once. The last two would cost each child a second: a first optimiser imports
dynamo, a first compiled loop numba."""
SERVER_STARTS = 3
"""How many servers may end while one pass is started, before the sweep ends too."""


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Let a process that starts in this context ignore the signals that end a runner.

    The fork server is in the runner's process group, and a terminal or a batch system signals the whole group: without
    the server nobody could wait for the children, and none would get to write its checkpoint.
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


@contextmanager
def _without_main_script() -> Iterator[None]:
    """A process that is started in here does not run the caller's script.

    multiprocessing has a child import the module `__main__` of its parent, for functions that are defined there. A pass
    needs none of it, and a script that runs a suite outside `if __name__ == "__main__"` would run it again.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")  # has no file, so that there is nothing to import
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def start_fork_server() -> None:
    """Start the fork server, which imports what children need while the caller does something else.

    Children get the environment of now. Where a server runs already this does nothing; one that was killed is replaced.
    """
    multiprocessing.forkserver.set_forkserver_preload(list(PRELOADED))
    with _signals_ignored():
        multiprocessing.forkserver.ensure_running()


def _servers() -> list[psutil.Process]:
    """Fork servers of this process that run."""
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if any("multiprocessing.forkserver" in word for word in process.cmdline()):  # a zombie has none
                found.append(process)
    return found


def _send_resident_bytes(sender: Connection) -> None:
    sender.send(resident_bytes(os.getpid()))


class Child(NamedTuple):
    """A process and the pass it runs."""

    job: PassJob
    process: BaseProcess
    supervisor: Supervisor


class LocalEngine(Engine):
    """Starts each pass from a fork server that has imported torch and run nothing.

    Measuring passes run one at a time, under a lock that all runners of this user on this machine share. Where the
    server is killed, its children end with it, and the next pass starts from a new one.

    Args:
        plugins: files that children load before anything else.
        limits: of each pass.
        jobs: training passes at a time.
        tell: shows a line to the user.

    Raises:
        UsageError: the limit of memory is below what a child holds that has only started.
    """

    def __init__(self, plugins: Sequence[str], limits: Limits, jobs: int, tell: Callable[[str], None]) -> None:
        self._plugins, self._limits, self._jobs, self._tell = list(plugins), limits, jobs, tell
        self._processes = multiprocessing.get_context("forkserver")
        start_fork_server()
        if limits.memory is not None:
            self._check_memory(limits.memory)
        self._children: list[Child] = []
        self._machine = FileLock(MACHINE_LOCK)

    def _check_memory(self, limit: int) -> None:
        """Refuse a limit that a child exceeds before it has built anything."""
        receiver, sender = self._processes.Pipe(duplex=False)
        child = self._processes.Process(target=_send_resident_bytes, args=(sender,), daemon=True)
        child.start()
        needed = receiver.recv()
        child.join()
        if limit <= needed:
            raise UsageError(
                f"{limit / 2**20:.3g} MiB are too few: a pass holds {needed / 2**20:.0f} MiB before it builds anything",
                where="memory limit",
                hint=f"give it more than {math.ceil(needed / 2**20)}MiB and what the run itself needs",
            )

    def width(self, exclusive: bool) -> int:
        return 1 if exclusive else self._jobs

    def start(self, job: PassJob) -> None:
        from throughtime.harness.device import require  # imports torch

        require(job.planned.spec.device)
        if PASSES[job.name].exclusive:
            self._take_machine()
        process = self._started(job)
        servers = set(_servers())
        threads = job.planned.spec.threads

        def exit_code() -> int | None:
            # `multiprocessing` says 255 of a child whose server has ended: nobody knows how the child did.
            code = process.exitcode
            return -signal.SIGKILL if code == 255 and servers.isdisjoint(_servers()) else code

        supervisor = Supervisor(process.pid or 0, exit_code, job.name, threads, job.folder, self._limits)
        self._children.append(Child(job, process, supervisor))

    def _started(self, job: PassJob) -> BaseProcess:
        """Start the process of a pass, from a new server if the old one ended just now."""
        from throughtime.passes.child import main

        spec, code = job.planned.spec, job.planned.code
        for attempt in range(1, SERVER_STARTS + 1):
            process = self._processes.Process(
                target=main,
                args=(job.name, spec.model_dump(mode="json"), code, job.folder, self._plugins),
                daemon=True,
            )
            start_fork_server()
            try:
                with _without_main_script():
                    process.start()
                break
            except (EOFError, ConnectionError):  # the server ended just now
                if attempt == SERVER_STARTS:
                    raise
        return process

    @property
    def at_work(self) -> list[PassJob]:
        return [child.job for child in self._children]

    def wait(self, seconds: float) -> list[PassJob]:
        wait([child.process.sentinel for child in self._children], timeout=seconds)
        over = [child for child in self._children if child.supervisor.over()]
        for child in over:
            self._forget(child)
            child.supervisor.settle()
        return [child.job for child in over]

    def stop(self) -> None:
        try:
            for child in self._children:
                child.supervisor.ask_to_stop()
            while self._children:
                wait([child.process.sentinel for child in self._children], timeout=0.1)
                for child in [child for child in self._children if child.supervisor.over()]:
                    self._forget(child)
        finally:
            for child in list(self._children):
                child.supervisor.kill()
                self._forget(child)

    def close(self) -> None:
        self._machine.release(force=True)

    def _forget(self, child: Child) -> None:
        child.process.join()
        self._children.remove(child)
        if PASSES[child.job.name].exclusive:
            self._machine.release()

    def _take_machine(self) -> None:
        """Take the machine for a measuring pass, once no other runner of this user measures."""
        try:
            self._machine.acquire(timeout=0)
        except Timeout:
            self._tell("waiting for another runner's measuring pass")
            self._machine.acquire()
