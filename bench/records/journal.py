"""The events of a sweep, one line each in a file beside its records: what runs, what has ended, and how."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pydantic

from throughtime.errors import UsageError, first_fault
from throughtime.records.record import Status
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
    asked: list[str] | None = None
    """Ids of the runs that the command asked for; None: all."""
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
                place, message = first_fault(error)
                broken.append(f"{path}:{number}: no event of a sweep: {place and f'{place}: '}{message}")
    if not events or not isinstance(events[0], Began):
        why = f" ({broken[0].partition(': ')[2]})" if broken else ""
        raise UsageError(f"not a journal{why}", where=str(path), hint="`throughtime run` writes it anew")
    return JournalLines(events[0], events[1:], broken)
