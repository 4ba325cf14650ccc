"""The runner: which pass runs when, and a record when a run's last pass is over.

Measuring passes come first, once a cell (on its first replicate), then training passes, several at a time; an engine
runs them. Until a run has its record it grows in the suite's `.work` folder, where what a pass found stays in a file of
its own, so an interrupted sweep repeats no finished pass, and a training goes on from its checkpoint.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from throughtime.errors import UsageError
from throughtime.records.files import CHECKPOINT, CURVE, LOG, POSITION
from throughtime.records.pass_result import pass_file
from throughtime.records.record import Record, Status, read_record, write_record
from throughtime.records.store import JOURNAL, WORK, Store
from throughtime.running.assembly import assemble, read_result, skipped, was_ok
from throughtime.running.engines.base import Engine, Work
from throughtime.running.journal import Journal
from throughtime.running.plan import Planned
from throughtime.running.progress import Progress
from throughtime.spec import PASSES

POLL_SECONDS = 0.5
CONTINUED: tuple[Status, ...] = ("timeout", "oom", "killed")
"""What a run can go on after, from its checkpoint; after an error or a divergence it would only go wrong again."""


class Runner:
    """Runs planned runs and writes their records into a store.

    Args:
        store: where records go.
        command: the words that start this sweep; each record's own command is made from them.
        engine: runs the passes.
        progress: told of everything that happens.
    """

    def __init__(self, store: Store, command: Sequence[str], engine: Engine, progress: Progress) -> None:
        self.store, self.command, self.engine, self.progress = store, command, engine, progress
        self._started: dict[str, float] = {}

    def run(self, suite: Sequence[Planned], chosen: Sequence[Planned]) -> list[Record]:
        """Run the chosen runs of one suite; return their records in the order in which they ended.

        Raises:
            UsageError: another runner is at work on the suite.
            KeyboardInterrupt: after the passes in hand are ended. Finished runs have their records, finished passes
                their files, trainings a checkpoint.
        """
        self._records: list[Record] = []
        self._pending = {p.id: list(p.passes) for p in chosen}
        self.progress.begin([p.spec for p in chosen])
        with ExitStack() as stack:
            folder = self.store.folder / suite[0].spec.suite
            stack.callback(self._folder_lock(folder).release)
            for left in sorted((folder / WORK).glob("*/record.json")):  # of a runner killed before it moved them
                if left.parent.name not in self._pending:
                    self.store.publish(folder.name, left.parent.name)
            stack.callback(self.engine.close)
            self._journal = Journal(folder / JOURNAL, self.command, suite, chosen)
            todo = [work for p in chosen for work in self._todo(p)]
            try:
                for exclusive in (True, False):
                    self._drain([work for work in todo if PASSES[work.name].exclusive is exclusive], exclusive)
            except BaseException as error:
                self.engine.stop()
                self._journal.ended("interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
                raise
            self._journal.ended("done")
        return self._records

    def _folder_lock(self, folder: Path) -> FileLock:
        """Two runners on one suite would take each other's files away."""
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UsageError("another runner is at work on this suite", where=str(folder)) from None
        return lock

    def _todo(self, planned: Planned) -> list[Work]:
        """The passes that a run still lacks; one that lacks none, or that its rule does not support, has its record."""
        suite = planned.spec.suite
        folder = self.store.work_folder(suite, planned.id)
        if (folder / "record.json").exists():  # the last runner was killed between writing it and moving it
            record = read_record(folder / "record.json")
            self.store.publish(suite, planned.id)
            self._tell(record)
            return []
        if planned.unsupported:
            folder.mkdir(parents=True, exist_ok=True)
            self._keep(skipped(planned, self.command, time.time()))
            return []
        if not folder.exists() and planned.recorded in CONTINUED and planned.stale is None:
            self._take_up(self.store.run_folder(suite, planned.id), folder)
        todo = [Work(planned, name, folder) for name in planned.passes]
        for work in [work for work in todo if was_ok(folder, work.name)]:
            todo.remove(work)
            self._over(work)
        return todo

    def _take_up(self, before: Path, folder: Path) -> None:
        """Copy what a training that was cut short can go on from; the old record stays until there is a new one."""
        if not (before / CHECKPOINT).exists():
            return
        taking = folder.with_name(f"{folder.name}.taking")  # half a copy must not pass for a whole one
        shutil.rmtree(taking, ignore_errors=True)
        taking.mkdir(parents=True)
        for name in (CURVE, LOG, CHECKPOINT):
            if (before / name).exists():
                shutil.copyfile(before / name, taking / name)
        taking.rename(folder)

    def _drain(self, work: Sequence[Work], exclusive: bool) -> None:
        """Do all the work, as much at a time as the engine takes."""
        waiting = deque(work)
        while waiting or self.engine.at_work:
            while waiting and len(self.engine.at_work) < self.engine.width(exclusive):
                self._start(waiting.popleft())
            for over in self.engine.wait(POLL_SECONDS):
                self._over(over)
            self.progress.running(self.engine.at_work)

    def _start(self, work: Work) -> None:
        self._started.setdefault(work.planned.id, time.time())
        work.folder.mkdir(parents=True, exist_ok=True)
        pass_file(work.folder, work.name).unlink(missing_ok=True)
        self.engine.start(work)
        self._journal.started(work)
        self.progress.running(self.engine.at_work)

    def _over(self, work: Work) -> None:
        """A pass has its file; with the last one the run gets its record.

        Raises:
            UsageError: the pass could not be what was planned.
        """
        planned = work.planned
        if void := read_result(work.folder, work.name).void:
            pass_file(work.folder, work.name).unlink()
            raise UsageError(void, hint="what was finished is kept; run it again to go on with the code of now")
        self._pending[planned.id].remove(work.name)
        self._journal.over(work)
        if not self._pending[planned.id]:
            started = self._started.get(planned.id, time.time())
            self._keep(assemble(planned, work.folder, self.command, started))

    def _keep(self, record: Record) -> None:
        """Write the record, and move the run to where records lie without what served only to make it."""
        folder = self.store.work_folder(record.spec.suite, record.id)
        write_record(record, folder)
        for name in PASSES:
            pass_file(folder, name).unlink(missing_ok=True)
        (folder / POSITION).unlink(missing_ok=True)
        if record.status not in CONTINUED:
            (folder / CHECKPOINT).unlink(missing_ok=True)
        self.store.publish(record.spec.suite, record.id)
        self._tell(record)

    def _tell(self, record: Record) -> None:
        self._records.append(record)
        self._journal.finished(record)
        self.progress.finished(record)
