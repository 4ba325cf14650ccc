"""The journal of a sweep: what its runner did, a line each, so that `status` can tell of it from the files alone.

It is told from and counts for nothing: what was finished is known by its record, and a journal that cannot be written
ends no sweep.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from throughtime.records.record import Record
from throughtime.running.engines.base import Work
from throughtime.running.plan import Planned


class Journal:
    """Writes the journal of the sweep that begins now, over that of the last one.

    Args:
        path: of the file.
        command: the words that started the sweep.
        suite: all runs of it.
        chosen: those that will be made.
    """

    def __init__(self, path: Path, command: Sequence[str], suite: Sequence[Planned], chosen: Sequence[Planned]) -> None:
        self.path = path
        ids = {p.id for p in chosen}
        self._write(
            "w",
            event="began",
            command=list(command),
            host=socket.gethostname(),
            pid=os.getpid(),
            process_started=psutil.Process().create_time(),
            # A list a run, for there may be very many: id, label, and its status if it is not made again.
            runs=[[p.id, p.spec.label, None if p.id in ids else p.recorded] for p in suite],
        )

    def started(self, work: Work) -> None:
        """A pass is at work."""
        self._write(
            "a", event="started", id=work.planned.id, **{"pass": work.name}, epochs=work.planned.spec.training.epochs
        )

    def over(self, work: Work) -> None:
        """A pass has ended."""
        self._write("a", event="over", id=work.planned.id, **{"pass": work.name})

    def finished(self, record: Record) -> None:
        """A run has its record."""
        self._write("a", event="finished", id=record.id, status=record.status, reason=record.reason)

    def ended(self, how: str) -> None:
        """The runner leaves."""
        self._write("a", event="ended", how=how)

    def _write(self, mode: str, **line: Any) -> None:
        with suppress(OSError), self.path.open(mode, encoding="utf-8") as file:
            file.write(json.dumps({**line, "at": time.time()}) + "\n")
