"""The journal of a sweep: one line for each event, from which `status` computes its progress.

No result depends on it: a record says which run is finished, and a journal that cannot be written ends no sweep.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import psutil
import pydantic

from throughtime.errors import UsageError
from throughtime.records.record import Record, Status
from throughtime.running.engines.base import PassJob
from throughtime.running.plan import Planned
from throughtime.spec import Pass, Scale


class _Event(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)

    at: float = pydantic.Field(default_factory=time.time)
    """Seconds since 1970."""


class Began(_Event):
    """Beginning of a sweep; always the first line."""

    event: Literal["began"] = "began"
    command: list[str]
    scale: Scale | None = None
    """Scale of the suite; None: an older journal."""
    host: str
    pid: int
    """Process id of the runner."""
    process_started: float
    """Start time of that process: a later process may have the same id."""
    runs: list[tuple[str, str, Status | None]]
    """Id and label of each run of the suite, and the status of its record if the run is not repeated."""
    failed_passes: dict[str, list[Pass]] = {}
    """Failed measuring passes of each `ok` record that is not repeated, by id."""
    other_scales: dict[Scale, list[str]] = {}
    """Labels of the suite's cells at other scales, from the sweeps before: reports know them, too."""

    def cells(self) -> list[str]:
        """Return the labels of the suite's cells at this scale."""
        return list(dict.fromkeys(label.rpartition(" #")[0] for _, label, _ in self.runs))


class Started(_Event):
    """Start of a pass."""

    event: Literal["started"] = "started"
    id: str
    name: Pass = pydantic.Field(validation_alias="pass", serialization_alias="pass")
    epochs: int


class Over(_Event):
    """End of a pass."""

    event: Literal["over"] = "over"
    id: str
    name: Pass = pydantic.Field(validation_alias="pass", serialization_alias="pass")


class Finished(_Event):
    """Completion of a run, which has its record."""

    event: Literal["finished"] = "finished"
    id: str
    status: Status
    reason: str
    failed_passes: list[Pass] = []
    """Measuring passes that failed."""


class Ended(_Event):
    """End of the runner."""

    event: Literal["ended"] = "ended"
    how: str


Event = Began | Started | Over | Finished | Ended
_EVENT: pydantic.TypeAdapter[Event] = pydantic.TypeAdapter(Annotated[Event, pydantic.Field(discriminator="event")])


class JournalLines(NamedTuple):
    """Content of a journal file."""

    began: Began
    events: list[Event]
    """The events after the first."""
    broken: list[str]
    """Position of each line that is not an event, and the reason."""


def read_journal(path: Path) -> JournalLines:
    """Read a journal. An incomplete last line is still being written, and is ignored.

    Raises:
        UsageError: its first line does not begin a sweep.
    """
    events: list[Event] = []
    broken = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            events.append(_EVENT.validate_json(line))
        except pydantic.ValidationError as error:
            if line.endswith(b"\n"):
                first = error.errors(include_url=False)[0]
                place = ".".join(map(str, first["loc"]))
                broken.append(f"{path}:{number}: no event of a sweep: {place and f'{place}: '}{first['msg']}")
    if not events or not isinstance(events[0], Began):
        why = f" ({broken[0].partition(': ')[2]})" if broken else ""
        raise UsageError(f"not a journal{why}", where=str(path), hint="`throughtime run` writes it anew")
    return JournalLines(events[0], events[1:], broken)


class Journal:
    """Writes the journal of the present sweep, and overwrites that of the last one.

    Args:
        path: path of the journal.
        command: arguments of the command that started the sweep.
        suite: all runs of the suite.
        due: the runs to execute.
    """

    def __init__(self, path: Path, command: Sequence[str], suite: Sequence[Planned], due: Sequence[Planned]) -> None:
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
