"""The runner: which pass runs when, each in a fresh process, and a record when a run's last pass is over.

Memory and timing passes come first, one at a time under a lock that all runners of this user share, once a cell (on
its first replicate). Training passes follow, `jobs` at a time. What a pass found stays in its own file until the record
is written, so an interrupted sweep repeats no finished pass.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from throughtime.assembly import assemble, pass_file, settle, skipped, was_ok
from throughtime.errors import UsageError
from throughtime.plan import Planned
from throughtime.progress import Progress
from throughtime.record import Record, write_record
from throughtime.spec import PASSES, Pass, Rerun
from throughtime.store import Store

POLL_SECONDS = 0.5
MACHINE_LOCK = Path(tempfile.gettempdir()) / f"throughtime-{os.getuid()}.lock"
PRELOADED = ("throughtime.child", "torch._dynamo", "sklearn.datasets")
"""What the fork server imports, once. The last two would cost each child a second: a first optimiser imports dynamo."""


class Work(NamedTuple):
    """One pass of one run."""

    planned: Planned
    name: Pass
    folder: Path


class Running(NamedTuple):
    """A child at work."""

    work: Work
    process: BaseProcess
    began: float


def to_run(planned: Iterable[Planned], rerun: Rerun) -> list[Planned]:
    """The runs that have no record yet, and those whose record the user wants made again."""
    failed = ("diverged", "oom", "timeout", "killed", "error")
    return [p for p in planned if p.recorded is None or rerun == "all" or (rerun == "failed" and p.recorded in failed)]


def passes_of(planned: Sequence[Planned]) -> dict[str, list[Pass]]:
    """Which passes each run makes itself: measuring passes only on the first replicate of a cell that trains."""
    seen: set[tuple[str, str, str, str]] = set()
    made: dict[str, list[Pass]] = {}
    for p in planned:
        alone = "train" in p.spec.passes and p.spec.cell in seen
        seen.add(p.spec.cell)
        made[p.id] = [name for name in p.spec.passes if not (alone and PASSES[name].headline)]
    return made


class Runner:
    """Runs planned runs and writes their records into a store.

    Args:
        store: where records go.
        command: the words that start this sweep; each record's own command is made from them.
        plugins: files that children load before anything else.
        jobs: training passes at a time.
        progress: told of everything that happens.
    """

    def __init__(
        self, store: Store, command: Sequence[str], plugins: Sequence[str], jobs: int, progress: Progress
    ) -> None:
        self.store, self.command, self.plugins = store, command, list(plugins)
        self.jobs, self.progress = jobs, progress
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(list(PRELOADED))
        self._started: dict[str, float] = {}

    def run(self, suite: Sequence[Planned], chosen: Sequence[Planned]) -> list[Record]:
        """Run the chosen runs of a suite; return their records in the order in which they ended.

        Raises:
            UsageError: another runner is at work on the suite.
            KeyboardInterrupt: after the children are ended. Finished runs have their records, finished passes their
                files, and the passes in hand begin anew next time.
        """
        self._passes = passes_of(suite)
        self._pending = {p.id: list(self._passes[p.id]) for p in chosen}
        self._records: list[Record] = []
        self.progress.begin([p.spec for p in chosen])
        with ExitStack() as locks:
            for name in sorted({p.spec.suite for p in chosen}):
                locks.enter_context(self._folder_lock(name))
            work = []
            for p in chosen:
                folder = self.store.run_folder(p.spec.suite, p.id)
                if p.unsupported:
                    folder.mkdir(parents=True, exist_ok=True)
                    self._keep(skipped(p, self.command, time.time()), folder)
                else:
                    work += [Work(p, name, folder) for name in self._passes[p.id]]
            for w in work:
                if was_ok(w.folder, w.name):
                    self._over(w)
            todo = [w for w in work if w.name in self._pending[w.planned.id]]
            for w in todo:
                if PASSES[w.name].exclusive:
                    with self._machine():
                        self._drain([w], 1)
            self._drain([w for w in todo if not PASSES[w.name].exclusive], self.jobs)
        return self._records

    def _folder_lock(self, suite: str) -> FileLock:
        """Two runners on one suite would take each other's files away."""
        folder = self.store.folder / suite
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UsageError("another runner is at work on this suite", where=str(folder)) from None
        return lock

    @contextmanager
    def _machine(self) -> Iterator[None]:
        """The machine for one measuring pass, once no other runner of this user measures."""
        lock = FileLock(MACHINE_LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self.progress.show("waiting for another runner's measuring pass")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _drain(self, work: Sequence[Work], width: int) -> None:
        """Do all the work, `width` passes at a time; whatever ends this early ends the children too."""
        waiting, running = list(reversed(work)), list[Running]()
        try:
            while waiting or running:
                while waiting and len(running) < width:
                    running.append(self._start(waiting.pop()))
                wait([r.process.sentinel for r in running], timeout=POLL_SECONDS)
                self.progress.running([(r.work.planned.spec, r.work.name, r.work.folder) for r in running])
                for ended in [r for r in running if not r.process.is_alive()]:
                    running.remove(ended)
                    ended.process.join()
                    spent = time.monotonic() - ended.began
                    settle(ended.work.folder, ended.work.name, ended.process.exitcode, spent)
                    self._over(ended.work)
        finally:
            for r in running:
                _end(r.process)

    def _start(self, work: Work) -> Running:
        from throughtime.child import main

        planned, name, folder = work
        if planned.id not in self._started:
            self._started[planned.id] = time.time()
            # The old record goes only now, when its successor begins; so does what a failed attempt left.
            if planned.recorded is not None or not any(was_ok(folder, done) for done in self._passes[planned.id]):
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        pass_file(folder, name).unlink(missing_ok=True)
        process = self._processes.Process(
            target=main,
            args=(name, planned.spec.model_dump(mode="json"), planned.code, folder, self.plugins),
            daemon=True,
        )
        process.start()
        return Running(work, process, time.monotonic())

    def _over(self, work: Work) -> None:
        """A pass has its file; with the last one the run gets its record."""
        run = work.planned.id
        self._pending[run].remove(work.name)
        if self._pending[run]:
            return
        started = self._started.get(run, time.time())
        self._keep(assemble(work.planned, work.folder, self._passes[run], self.command, started), work.folder)

    def _keep(self, record: Record, folder: Path) -> None:
        write_record(record, folder)
        for name in PASSES:
            pass_file(folder, name).unlink(missing_ok=True)
        self._records.append(record)
        self.progress.finished(record)


def _end(process: BaseProcess) -> None:
    """Kill a child and all it started."""
    with suppress(ProcessLookupError, TypeError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
