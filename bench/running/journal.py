"""Writing the journal of a sweep: one line for each event, from which `status` computes its progress.

No result depends on it: a record says which run is finished, and a journal that cannot be written ends no sweep.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

from throughtime.errors import UsageError
from throughtime.records.journal import Began, Ended, Event, Finished, Over, Started, read_journal
from throughtime.records.record import Record
from throughtime.running.engine import PassJob
from throughtime.running.plan import Planned
from throughtime.spec import Scale


class Journal:
    """Writes the journal of the present sweep, and overwrites that of the last one.

    Args:
        path: path of the journal.
        command: arguments of the command that started the sweep.
        suite: all runs of the suite.
        due: the runs to execute.
        selected: the runs that the command asked for; None: all of the suite.
    """

    def __init__(
        self,
        path: Path,
        command: Sequence[str],
        suite: Sequence[Planned],
        due: Sequence[Planned],
        selected: Sequence[Planned] | None = None,
    ) -> None:
        self.path = path
        ids = {p.id for p in due}
        others: dict[Scale, list[str]] = {}
        with suppress(OSError, UsageError):  # the first sweep, or a damaged journal
            before = read_journal(path).began
            others = before.other_scales | ({before.scale: before.cells()} if before.scale else {})
        began = Began(
            command=list(command),
            scale=suite[0].spec.scale,
            host=socket.gethostname(),
            pid=os.getpid(),
            process_started=psutil.Process().create_time(),
            runs=[(p.id, p.spec.label, None if p.id in ids else p.recorded) for p in suite],
            asked=None if selected is None else [p.id for p in selected],
            failed_passes={p.id: list(p.missing_passes) for p in suite if p.missing_passes and p.id not in ids},
            other_scales={scale: cells for scale, cells in others.items() if scale != suite[0].spec.scale},
        )
        self._write(began, "w")

    def started(self, work: PassJob) -> None:
        """Write that a pass starts."""
        self._write(Started(id=work.planned.id, name=work.name, epochs=work.planned.spec.training.epochs))

    def over(self, work: PassJob) -> None:
        """Write that a pass has ended."""
        self._write(Over(id=work.planned.id, name=work.name))

    def finished(self, record: Record) -> None:
        """Write that a run has its record."""
        failed = list(record.failed_passes)
        self._write(Finished(id=record.id, status=record.status, reason=record.reason, failed_passes=failed))

    def ended(self, how: str) -> None:
        """Write how the runner ended."""
        self._write(Ended(how=how))

    def _write(self, event: Event, mode: Literal["w", "a"] = "a") -> None:
        with suppress(OSError), self.path.open(mode, encoding="utf-8") as file:
            file.write(event.model_dump_json(by_alias=True) + "\n")
