"""The runner: decides which pass runs when, and writes a run's record when its last pass has ended.

Measuring passes come first, once per cell (on its first replicate), then training passes, several at a time; an engine
runs them. The files of a run without a record are in the suite's `.work` folder, where each pass writes a result file.
An interrupted sweep therefore repeats no finished pass, and training resumes from its checkpoint.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from throughtime.errors import UsageError
from throughtime.records.files import CHECKPOINT, CURVE, LOG, POSITION, RECORD
from throughtime.records.pass_result import pass_file
from throughtime.records.record import Record, Status, read_record, write_record
from throughtime.records.store import JOURNAL, OLD, WORK, Store, is_ok
from throughtime.running.assembly import assemble, completed, read_result, skipped, was_ok
from throughtime.running.engine import Engine, PassJob
from throughtime.running.journal import Journal
from throughtime.running.plan import Planned
from throughtime.running.progress import Progress
from throughtime.spec import PASSES, Pass

POLL_SECONDS = 0.5
CONTINUED: tuple[Status, ...] = ("timeout", "oom", "killed")
"""States after which training resumes from its checkpoint; an error or a divergence would only recur."""
REPEATS = 2
"""Largest number of repetitions of a measuring pass that was killed from outside."""
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""`errno` of a file system without locks."""


class Runner:
    """Runs planned runs and writes their records into a store.

    Args:
        store: the destination of the records.
        command: arguments of the command that starts this sweep, from which each record's own command is derived.
        engine: runs the passes.
        progress: shows the progress of the runs.
    """

    def __init__(self, store: Store, command: Sequence[str], engine: Engine, progress: Progress) -> None:
        self.store, self.command, self.engine, self.progress = store, command, engine, progress
        self._started: dict[str, float] = {}
        self._kills: Counter[tuple[str, Pass]] = Counter()

    def run(
        self, suite: Sequence[Planned], due: Sequence[Planned], selected: Sequence[Planned] | None = None
    ) -> list[Record]:
        """Run the due runs of one suite, among those asked for; return their records in the order in which they ended.

        Raises:
            UsageError: another runner works on the suite, or its folder is removed.
            KeyboardInterrupt: raised after the running passes have been stopped. Finished runs have their records,
                finished passes their files, and trainings a checkpoint.
        """
        self._records: list[Record] = []
        self._pending = {p.id: list(p.passes) for p in due}
        self.progress.begin([p.spec for p in due])
        with ExitStack() as stack:
            folder = self.store.folder / suite[0].spec.suite
            stack.callback(self._folder_lock(folder).release)
            for left in sorted((folder / WORK).glob(f"*/{RECORD}")):  # left by a runner that was killed
                run_id = left.parent.name.removesuffix(OLD)
                if run_id not in self._pending:
                    self.store.publish(folder.name, run_id)
            stack.callback(self.engine.close)
            self._folder = folder
            self._opened = os.open(folder, os.O_RDONLY)  # while it is open, no other folder gets its inode
            stack.callback(os.close, self._opened)
            self._journal = Journal(folder / JOURNAL, self.command, suite, due, selected)
            todo = [job for p in due for job in self._todo(p)]
            try:
                for exclusive in (True, False):
                    self._drain([job for job in todo if PASSES[job.name].exclusive is exclusive], exclusive)
            except BaseException as error:
                self.engine.stop()
                if isinstance(error, OSError):
                    self._require_folder()  # its removal is the cause of many errors
                self._journal.ended("interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
                raise
            self._journal.ended("done")
        return self._records

    def _require_folder(self) -> None:
        """Raise UsageError if the suite's folder was removed or replaced since the sweep began."""
        try:
            if os.path.samestat(os.fstat(self._opened), self._folder.stat()):
                return
        except FileNotFoundError:
            pass
        hint = "the sweep has stopped; repeat the command to run it into a new folder"
        raise UsageError("the folder was removed while the sweep ran", str(self._folder), hint)

    def _folder_lock(self, folder: Path) -> FileLock:
        """Lock the suite's folder: two runners would remove each other's files."""
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UsageError("another runner is at work on this suite", where=str(folder)) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            hint = "name a folder on a local disk with --results"
            raise UsageError(f"the folder cannot be locked: {error.strerror}", str(folder), hint) from error
        return lock

    def _todo(self, planned: Planned) -> list[PassJob]:
        """Return the passes that a run lacks; a run without any, or unsupported by its rule, gets its record now."""
        suite = planned.spec.suite
        folder = self.store.work_folder(suite, planned.id)
        if (folder / RECORD).exists():  # the last runner was killed before it moved the record
            record = read_record(folder / RECORD)
            self.store.publish(suite, planned.id)
            self._announce(record)
            return []
        place = self.store.run_folder(suite, planned.id)
        if planned.recorded is None and not planned.reason and is_ok(place):  # another runner has recorded it since
            self._announce(read_record(place / RECORD))
            return []
        if planned.unsupported:
            folder.mkdir(parents=True, exist_ok=True)
            self._publish(skipped(planned, self.command, time.time()))
            return []
        if not folder.exists() and planned.recorded in CONTINUED and planned.stale is None:
            self._copy_checkpoint(place, folder)
        todo = [PassJob(planned, name, folder) for name in planned.passes]
        for job in [job for job in todo if was_ok(folder, job.name)]:
            todo.remove(job)
            self._over(job)
        return todo

    def _copy_checkpoint(self, before: Path, folder: Path) -> None:
        """Copy the files from which interrupted training resumes; the old record remains until there is a new one."""
        if not (before / CHECKPOINT).exists():
            return
        copying = folder.with_name(f"{folder.name}.taking")  # an incomplete copy must not appear complete
        shutil.rmtree(copying, ignore_errors=True)
        copying.mkdir(parents=True)
        for name in (CURVE, LOG, CHECKPOINT):
            if (before / name).exists():
                shutil.copyfile(before / name, copying / name)
        copying.rename(folder)

    def _drain(self, jobs: Sequence[PassJob], exclusive: bool) -> None:
        """Run all passes, as many at a time as the engine accepts."""
        waiting = deque(jobs)
        while waiting or self.engine.at_work:
            while waiting and len(self.engine.at_work) < self.engine.width(exclusive):
                self._start(waiting.popleft())
            over = self.engine.wait(POLL_SECONDS)
            self._require_folder()
            for job in over:
                if self._is_repeated(job):
                    waiting.appendleft(job)
                else:
                    self._over(job)
            self.progress.running(self.engine.at_work)

    def _start(self, job: PassJob) -> None:
        self._started.setdefault(job.planned.id, time.time())
        job.folder.mkdir(parents=True, exist_ok=True)
        pass_file(job.folder, job.name).unlink(missing_ok=True)
        self.engine.start(job)
        self._journal.started(job)
        self.progress.running(self.engine.at_work)

    def _is_repeated(self, job: PassJob) -> bool:
        """Return whether a pass is repeated: a measuring pass that was killed, up to `REPEATS` times."""
        measures = PASSES[job.name].headline is not None
        if not measures or read_result(job.folder, job.name).status != "killed":
            return False
        attempt = job.planned.id, job.name
        if self._kills[attempt] == REPEATS:
            return False
        self._kills[attempt] += 1
        self._journal.over(job)
        self.progress.show(f"{job.planned.spec.label}: {job.name} pass was killed, and is repeated")
        return True

    def _over(self, job: PassJob) -> None:
        """Register the result of a pass; after the last one the run gets its record.

        Raises:
            UsageError: the code changed since the run was planned.
        """
        planned = job.planned
        if stale_code := read_result(job.folder, job.name).stale_code:
            pass_file(job.folder, job.name).unlink()
            raise UsageError(
                stale_code, hint="finished runs are recorded; repeat the command to continue with the new code"
            )
        self._pending[planned.id].remove(job.name)
        self._journal.over(job)
        if self._pending[planned.id]:
            return
        if planned.completes:
            self._complete(planned, job.folder)
        else:
            started = self._started.get(planned.id, time.time())
            self._publish(assemble(planned, job.folder, self.command, started))

    def _publish(self, record: Record) -> None:
        """Write the record, and move the run to its final folder without temporary files."""
        folder = self.store.work_folder(record.spec.suite, record.id)
        write_record(record, folder)
        for name in PASSES:
            pass_file(folder, name).unlink(missing_ok=True)
        for scratch in folder.glob(".*.tmp"):  # left by a process that was killed while it wrote
            scratch.unlink(missing_ok=True)
        (folder / POSITION).unlink(missing_ok=True)
        if record.status not in CONTINUED:
            (folder / CHECKPOINT).unlink(missing_ok=True)
        self.store.publish(record.spec.suite, record.id)
        self._announce(record)

    def _complete(self, planned: Planned, folder: Path) -> None:
        """Add the results of repeated measuring passes to the record that lacks them."""
        place = self.store.run_folder(planned.spec.suite, planned.id)
        record = completed(read_record(place / RECORD), folder, planned.passes)
        if (folder / LOG).exists():  # a pass that was killed at its start has none
            with (place / LOG).open("ab") as log:
                log.write((folder / LOG).read_bytes())
        write_record(record, place)
        shutil.rmtree(folder)
        self._announce(record)

    def _announce(self, record: Record) -> None:
        self._records.append(record)
        self._journal.finished(record)
        self.progress.finished(record)
