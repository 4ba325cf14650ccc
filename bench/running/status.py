"""What a sweep is at, told from its files alone: by another terminal, while it runs or after."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from throughtime.errors import UsageError
from throughtime.records.files import read_position
from throughtime.records.store import JOURNAL, WORK, Store
from throughtime.suites.units import duration


@dataclass
class Running:
    """A run with a pass at work."""

    label: str
    name: str
    seconds: float
    epoch: int | None
    """In work; None: not a training pass, or none of it seen from here."""
    epochs: int


@dataclass
class Status:
    """One suite's sweep, the last that was started."""

    suite: str
    runner: str
    """Who makes it: `process 123 on host`, or how it ended."""
    alive: bool | None
    """Whether that process is there; None: it is another machine's."""
    done: int = 0
    skipped: int = 0
    waiting: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    """Label, status and reason of each run that failed."""
    running: list[Running] = field(default_factory=list)
    seconds_left: float | None = None
    """As long as each run of this sweep took so far, on average; None: not known yet, or nothing is left."""


def status(store: Store, suite: str | None = None) -> list[Status]:
    """The last sweep of a suite, or of each suite in the store.

    Raises:
        UsageError: there is none.
    """
    names = [suite] if suite else sorted(path.parent.name for path in store.folder.glob(f"*/{JOURNAL}"))
    found = [_of(store, name) for name in names if (store.folder / name / JOURNAL).exists()]
    if not found:
        what = f'no sweep of "{suite}"' if suite else "no sweep"
        raise UsageError(f"{what} was started here", where=str(store.folder), hint="`throughtime run SUITE` starts one")
    return found


def _of(store: Store, suite: str) -> Status:
    folder = store.folder / suite
    began, *events = _read(folder / JOURNAL)
    known = {run: (label, state) for run, label, state in began["runs"]}
    state = {run: before for run, (_, before) in known.items()}
    reasons: dict[str, str] = {}
    at_work: dict[tuple[str, str], dict[str, Any]] = {}
    how, made = None, 0
    for event in events:
        if event["event"] == "started":
            at_work[event["id"], event["pass"]] = event
        elif event["event"] == "over":
            at_work.pop((event["id"], event["pass"]), None)
        elif event["event"] == "finished":
            at_work = {work: begun for work, begun in at_work.items() if work[0] != event["id"]}
            state[event["id"]], reasons[event["id"]] = event["status"], event["reason"]
            made += event["status"] != "skipped"
        elif event["event"] == "ended":
            how = event["how"]
    alive = None if how else _alive(began)
    result = Status(suite, _runner(began, how, alive), False if how else alive)
    counts = Counter(state.values())
    result.done, result.skipped = counts["ok"], counts["skipped"]
    result.failed = [
        {"label": known[run][0], "status": now, "reason": reasons.get(run, "before this sweep")}
        for run, now in state.items()
        if now not in (None, "ok", "skipped")
    ]
    if not how and alive is not False:
        for (run, _), event in at_work.items():
            if state[run] is None:
                at = read_position(folder / WORK / run) if event["pass"] == "train" else None
                epoch = int(at["epoch"]) if at else None
                result.running.append(
                    Running(known[run][0], event["pass"], max(0.0, time.time() - event["at"]), epoch, event["epochs"])
                )
    left = counts[None]
    result.waiting = left - len({run for run, _ in at_work} if result.running else ())
    if made and left and result.running:
        result.seconds_left = max(0.0, time.time() - began["at"]) / made * left
    return result


def _read(path: Path) -> list[dict[str, Any]]:
    """The journal's lines, but for one that is being written or was cut short."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    if not lines or not isinstance(lines[0], dict) or lines[0].get("event") != "began":
        raise UsageError("not a journal", where=str(path), hint="`throughtime run` writes it anew")
    return lines


def _alive(began: dict[str, Any]) -> bool | None:
    if began["host"] != socket.gethostname():
        return None
    try:
        return abs(psutil.Process(began["pid"]).create_time() - began["process_started"]) < 2
    except psutil.NoSuchProcess:
        return False


def _runner(began: dict[str, Any], how: str | None, alive: bool | None) -> str:
    if how:
        return how
    who = f"process {began['pid']} on {began['host']}"
    return f"{who} is gone: the same command goes on from here" if alive is False else who


def lines(status: Status) -> list[str]:
    """A sweep's status for the terminal."""
    counts = f"{status.done} done, {len(status.running)} running, {status.waiting} waiting, {len(status.failed)} failed"
    skipped = f", {status.skipped} skipped" if status.skipped else ""
    left = f"; {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
    told = [f"{status.suite}: {counts}{skipped}{left} ({status.runner})"]
    for one in status.running:
        at = f"epoch {one.epoch}/{one.epochs}" if one.epoch is not None else f"{one.name} pass"
        told.append(f"  running  {one.label}: {at}, for {duration(one.seconds)}")
    told += [f"  {one['status']}  {one['label']}: {one['reason']}" for one in status.failed]
    return told
