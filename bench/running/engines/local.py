"""Execution of passes in fresh processes of this machine."""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import psutil

from throughtime.errors import UsageError
from throughtime.measuring.machine_lock import MachineLock
from throughtime.running.engine import Engine, PassJob
from throughtime.running.engines.supervisor import Supervisor
from throughtime.running.limits import Limits, resident_bytes
from throughtime.running.signals import signals_deferred, signals_ignored
from throughtime.spec import PASSES

PRELOADED = "throughtime.running.engines.preloaded"
"""Module that the fork server imports once."""
SERVER_STARTS = 3
"""Number of servers that may end during the start of one pass before the sweep ends, too."""


REPLACED = threading.RLock()
"""Held while `__main__` is replaced, so that another thread does not restore the replacement."""


@contextmanager
def without_main_script() -> Iterator[None]:
    """Prevent a process that starts in this context from running the caller's script.

    In multiprocessing, a child imports the module `__main__` of its parent, for functions that it defines. A pass needs
    no such function, and a script that runs a suite outside `if __name__ == "__main__"` would run it again.
    """
    with REPLACED:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")  # without a file, a child imports nothing
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def start_fork_server() -> None:
    """Start the fork server, which imports the modules for children while the caller continues.

    Children have the environment of this moment. A running server is left alone; one that was killed is replaced.

    The server ignores the signals that end a runner: it is in the runner's process group, and a terminal or a batch
    system signals the whole group. Without it no process could wait for the children, and no child could write its
    checkpoint.
    """
    multiprocessing.forkserver.set_forkserver_preload([PRELOADED])
    with signals_ignored():
        multiprocessing.forkserver.ensure_running()


def _servers() -> list[psutil.Process]:
    """Return the running fork servers of this process."""
    servers = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if any("multiprocessing.forkserver" in word for word in process.cmdline()):  # a zombie has no command line
                servers.append(process)
    return servers


def _send_resident_bytes(sender: Connection) -> None:
    sender.send(resident_bytes(os.getpid()))


class Child(NamedTuple):
    """A process and the pass that it runs."""

    job: PassJob
    process: BaseProcess
    supervisor: Supervisor


class LocalEngine(Engine):
    """Starts each pass from a fork server that has imported torch and the components, and computed nothing.

    Measuring passes run one at a time, under a lock that all runners on this machine share. If the server
    is killed, its children end with it, and the next pass starts from a new server.

    Args:
        plugins: files that children load first.
        limits: limits of each pass.
        jobs: number of simultaneous training passes.
        tell: shows a line to the user.

    Raises:
        UsageError: the memory limit is below the memory of a child directly after its start.
    """

    def __init__(self, plugins: Sequence[str], limits: Limits, jobs: int, tell: Callable[[str], None]) -> None:
        self._plugins, self._limits, self._jobs, self._tell = list(plugins), limits, jobs, tell
        self._processes = multiprocessing.get_context("forkserver")
        start_fork_server()
        if limits.memory is not None:
            self._check_memory(limits.memory)
        self._children: list[Child] = []
        self._machine = MachineLock()

    def _check_memory(self, limit: int) -> None:
        """Raise UsageError for a limit that a child exceeds before it has built any component."""
        receiver, sender = self._processes.Pipe(duplex=False)
        child = self._processes.Process(target=_send_resident_bytes, args=(sender,), daemon=True)
        with without_main_script():
            child.start()
        sender.close()
        try:
            needed = receiver.recv()
        except EOFError:  # the child was killed; the first pass shows whether that happens again
            return
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
            self._machine.acquire(self._tell)
        with signals_deferred():  # a child that has started half would print the error of a broken pipe
            self._children.append(self._child(job))

    def _child(self, job: PassJob) -> Child:
        process = self._started(job)
        servers = set(_servers())

        def exit_code() -> int | None:
            # `multiprocessing` reports 255 for a child whose server has ended, because its exit code is unknown.
            code = process.exitcode
            return -signal.SIGKILL if code == 255 and servers.isdisjoint(_servers()) else code

        threads = job.planned.spec.threads
        supervisor = Supervisor(process.pid or 0, exit_code, job.name, threads, job.folder, self._limits)
        return Child(job, process, supervisor)

    def _started(self, job: PassJob) -> BaseProcess:
        """Start the process of a pass, from a new server if the old one has ended."""
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
                with without_main_script():
                    process.start()
                break
            except (EOFError, ConnectionError):  # the server has ended
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
            child.supervisor.write_failure()
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
        self._machine.release()

    def _forget(self, child: Child) -> None:
        child.process.join()
        self._children.remove(child)
        if PASSES[child.job.name].exclusive:
            self._machine.release()
