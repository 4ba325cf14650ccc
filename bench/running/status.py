"""The state of a sweep, computed from its files alone, during the sweep or after it."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from throughtime.errors import UsageError, suggestion
from throughtime.records.files import read_position
from throughtime.records.journal import Began, Ended, Event, Finished, Over, Started, read_journal
from throughtime.records.store import JOURNAL, WORK, Store
from throughtime.spec import Pass
from throughtime.suites.units import duration


@dataclass
class Running:
    """A pass that runs now."""

    label: str
    name: str
    seconds: float
    epoch: int | None
    """The present epoch of training; None: not a training pass, or its position is not readable here."""
    epochs: int


@dataclass
class SweepStatus:
    """The last sweep of one suite."""

    suite: str
    runner: str
    """The runner: `process 123 on host`, or how the sweep ended."""
    alive: bool | None
    """Whether that process runs; None: unknown, because it is on another machine."""
    done: int = 0
    skipped: int = 0
    waiting: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    """Label, status and reason of each run that failed."""
    incomplete: list[dict[str, str]] = field(default_factory=list)
    """Label and failed measuring passes of each `ok` run that has some."""
    running: list[Running] = field(default_factory=list)
    seconds_left: float | None = None
    """Remaining runs times the time of this sweep for each finished run, of which several may run side by side; None:
    unknown, or no run remains."""
    broken: list[str] = field(default_factory=list)
    """Position of each line of the journal that is not an event, and the reason."""


def status(store: Store, suite: str | None = None) -> list[SweepStatus]:
    """Return the state of the last sweep of a suite, or of each suite in the store.

    If one of several journals cannot be read, its row contains the error, and the others are shown.

    Raises:
        UsageError: there is no journal, or no readable one.
    """
    names = [suite] if suite else _with_journal(store)
    statuses, unreadable = [], []
    for name in names:
        try:
            if (store.folder / name / JOURNAL).exists():
                statuses.append(_suite_status(store, name))
        except UsageError as error:
            unreadable.append(error)
            statuses.append(SweepStatus(name, "its journal cannot be read", None, broken=[str(error).splitlines()[0]]))
    if statuses and len(unreadable) == len(statuses):
        raise unreadable[0]
    if not statuses:
        what, started = f'no sweep of "{suite}"' if suite else "no sweep", [*_with_journal(store)]
        hint = suggestion(suite, started) if suite and started else "`throughtime run SUITE` starts one"
        raise UsageError(f"{what} was started here", where=str(store.folder), hint=hint)
    return statuses


def _with_journal(store: Store) -> list[str]:
    return sorted(path.parent.name for path in store.folder.glob(f"*/{JOURNAL}"))


class _Replay:
    """The runs of a sweep after the events of its journal."""

    def __init__(self, began: Began, events: Iterable[Event]) -> None:
        selected = None if began.asked is None else set(began.asked)
        self.state = {run: before for run, _, before in began.runs if selected is None or run in selected}
        self.reasons: dict[str, str] = {}
        self.failed_passes: dict[str, list[Pass]] = dict(began.failed_passes)
        self.at_work: dict[tuple[str, Pass], Started] = {}
        self.how: str | None = None
        """How the sweep ended; None: it did not end."""
        self.made = 0
        for event in events:
            self._follow(event)

    def _follow(self, event: Event) -> None:
        if isinstance(event, Started):
            self.at_work[event.id, event.name] = event
        elif isinstance(event, Over):
            self.at_work.pop((event.id, event.name), None)
        elif isinstance(event, Finished):
            self.at_work = {job: begun for job, begun in self.at_work.items() if job[0] != event.id}
            self.state[event.id], self.reasons[event.id] = event.status, event.reason
            self.failed_passes[event.id] = event.failed_passes
            self.made += event.status != "skipped"
        elif isinstance(event, Ended):
            self.how = event.how


def _suite_status(store: Store, suite: str) -> SweepStatus:
    folder = store.folder / suite
    began, events, broken = read_journal(folder / JOURNAL)
    labels: dict[str, str] = {run: label for run, label, _ in began.runs}
    now = _Replay(began, events)
    alive = None if now.how else _alive(began)
    result = SweepStatus(suite, _runner(began, now.how, alive), False if now.how else alive, broken=broken)
    counts = Counter(now.state.values())
    result.done, result.skipped = counts["ok"], counts["skipped"]
    result.failed = [
        {"label": labels.get(run, run), "status": how, "reason": now.reasons.get(run, "before this sweep")}
        for run, how in now.state.items()
        if how is not None and how not in ("ok", "skipped")
    ]
    result.incomplete = [
        {"label": labels.get(run, run), "passes": ", ".join(passes)}
        for run, passes in now.failed_passes.items()
        if passes and now.state.get(run) == "ok"
    ]
    if not now.how and alive is not False:
        result.running = [
            _running(labels.get(run, run), folder / WORK / run, event)
            for (run, _), event in now.at_work.items()
            if now.state.get(run) is None
        ]
    unfinished = counts[None]
    result.waiting = unfinished - len({run for run, _ in now.at_work} if result.running else ())
    if now.made and unfinished and result.running:
        result.seconds_left = max(0.0, time.time() - began.at) / now.made * unfinished
    return result


def _running(label: str, folder: Path, event: Started) -> Running:
    position = read_position(folder) if event.name == "train" else None
    epoch = int(position["epoch"]) if position else None
    return Running(label, event.name, max(0.0, time.time() - event.at), epoch, event.epochs)


def _alive(began: Began) -> bool | None:
    if began.host != socket.gethostname():
        return None
    try:
        return abs(psutil.Process(began.pid).create_time() - began.process_started) < 2
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


def _runner(began: Began, how: str | None, alive: bool | None) -> str:
    if how:
        return how
    who = f"process {began.pid} on {began.host}"
    return f"{who} has ended: the same command continues the sweep" if alive is False else who


def lines(status: SweepStatus) -> list[str]:
    """Return a sweep's status as lines for the terminal."""
    counts = f"{status.done} done, {len(status.running)} running, {status.waiting} waiting, {len(status.failed)} failed"
    rest = f", {status.skipped} skipped" if status.skipped else ""
    rest += f", {len(status.incomplete)} incomplete" if status.incomplete else ""
    left = f"; {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
    shown = [f"{status.suite}: {counts}{rest}{left} ({status.runner})"]
    for run in status.running:
        progress = f"epoch {run.epoch}/{run.epochs}" if run.epoch is not None else f"{run.name} pass"
        shown.append(f"  running  {run.label}: {progress}, for {duration(run.seconds)}")
    shown += [f"  {run['status']}  {run['label']}: {run['reason']}" for run in status.failed]
    shown += [
        f"  incomplete  {run['label']}: {run['passes']} pass failed, `--rerun failed` makes it again"
        for run in status.incomplete
    ]
    shown += [f"  broken  {line}" for line in status.broken]
    return shown
