"""Who does which work in which process and in what order, and the rows that come of it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from throughtime.peers.compare import TOLERANCE
from throughtime.peers.workload import PEERS, Peer, Workload, entrants, missing
from throughtime.running.engines.local import MACHINE_LOCK

TIMEOUT = 1200
"""Seconds for a child; a loop that is a hundred times too slow must not hold up the others."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")
"""Variables by which libraries are told; the last is XLA's."""

Order = dict[str, Any]
Answer = dict[str, Any]
"""What the child answers, or `failed`: why it did not."""


class Row(NamedTuple):
    """What one implementation needs for one work."""

    work: str
    implementation: str
    kind: str
    unit: str
    median: float
    """Over the samples of all rounds, like the two that follow."""
    min: float
    max: float
    n: int
    rounds: int
    """Fresh processes."""
    ratio: float | None
    """Median over the median of ours; null if ours has none."""
    floor: float | None
    """The matrix products of the work alone, at the fastest rates of all rounds; null of bytes."""
    floor_ratio: float | None
    """Median over the floor."""
    compile_seconds: float | None
    """What the first call took beyond a median one: compiling and starting up, median over rounds; in no sample."""
    threads: int
    contended: bool
    """Whether other processes used the machine meanwhile."""
    difference: float | None
    """From ours, as `compare.py` has it; null of ours, and where there is nothing to agree on, as `note` says."""
    note: str
    versions: dict[str, str]


class LeftOut(NamedTuple):
    """An implementation that has no row of a work."""

    work: str
    implementation: str
    why: str
    fault: bool
    """Whether something is wrong; else it is only not there."""

    def __str__(self) -> str:
        return f"{self.work}: {self.implementation}: {self.why}"


class Outcome(NamedTuple):
    """Of one work, or of several together."""

    rows: list[Row]
    left_out: list[LeftOut]

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome([*self.rows, *other.rows], [*self.left_out, *other.left_out])


def side_by_side(
    work: Workload,
    names: Sequence[str],
    *,
    threads: int,
    rounds: int,
    ask: Callable[[Order], Answer],
    tell: Callable[[str], None],
) -> Outcome:
    """Compare first, then measure: in each round every implementation once, one after the other.

    Args:
        names: implementations besides ours; all if there are none.
        rounds: fresh processes for each implementation.
        ask: gives an order to a fresh process.
        tell: shows a line of progress.
    """

    def order(do: str, name: str) -> Answer:
        tell(f"{work.name}: {do} {'' if do == 'floor' else name}".rstrip())
        return ask({"do": do, "work": work._asdict(), "implementation": name, "threads": threads})

    left_out: list[LeftOut] = []
    apart: dict[str, float | None] = {}
    for name in entrants(work, names):
        peer = PEERS[name]
        if why := missing(peer):
            left_out.append(LeftOut(work.name, name, f"not run here: {why}", fault=False))
        elif peer.kind == "ours" or work.neuron in peer.no_pair:
            apart[name] = None
        elif why := _disagreement(peer, answer := order("compare", name)):
            left_out.append(LeftOut(work.name, name, why, fault=True))
        else:
            apart[name] = answer["size"]

    timings: dict[str, list[Answer]] = defaultdict(list)
    floors: list[Answer] = []
    stored = work.does == "stored"
    for _ in range(1 if stored else rounds):  # bytes are the same each time
        if not stored:
            floors.append(order("floor", "ours"))
        for name in apart:
            timings[name].append(order("time", name))
    for name in [*timings]:
        if failure := next((answer["failed"] for answer in timings[name] if "failed" in answer), None):
            left_out.append(LeftOut(work.name, name, f"failed: {failure}", fault=True))
            del timings[name]
    return Outcome(rows_of(work, timings, floors, apart, threads), left_out)


def _disagreement(peer: Peer, answer: Answer) -> str | None:
    """Why an answer is not ours; None: it is."""
    allowed = TOLERANCE[peer.precision]
    if "failed" in answer:
        return f"failed: {answer['failed']}"
    if answer["size"] <= allowed:
        return None
    where = f"{answer['where']} differs from ours by {answer['size']:.2g} of the largest"
    return f"{where} ({peer.precision}, {allowed:g} allowed)"


def rows_of(
    work: Workload, timings: dict[str, list[Answer]], floors: list[Answer], apart: dict[str, float | None], threads: int
) -> list[Row]:
    """Rows from what the children measured."""
    samples = {name: [s for answer in of for s in answer["samples"]] for name, of in timings.items()}
    medians = {name: statistics.median(of) for name, of in samples.items()}
    ours = medians.get("ours")
    floor = min((answer["floor"] for answer in floors if "floor" in answer), default=None)
    rows = []
    for name, median in medians.items():
        firsts = [answer["first"] for answer in timings[name] if answer["first"] is not None]
        peer, n = PEERS[name], work.timed_steps or 1
        rows.append(
            Row(
                work=work.name,
                implementation=name,
                kind=peer.kind,
                unit=work.unit,
                median=median,
                min=min(samples[name]),
                max=max(samples[name]),
                n=len(samples[name]),
                rounds=len(timings[name]),
                ratio=median / ours if ours else None,
                floor=floor,
                floor_ratio=median / floor if floor else None,
                compile_seconds=max(statistics.median(firsts) - n * median, 0.0) if firsts else None,
                threads=threads,
                contended=any(answer["contended"] for answer in timings[name]),
                difference=apart[name],
                note=peer.first_update or peer.no_pair.get(work.neuron, ""),
                versions={d: version(d) for d in ("throughtime", "torch", *peer.needs)},
            )
        )
    return rows


def in_fresh_process(order: Order, tell: Callable[[str], None]) -> Answer:
    """Carry an order out in a process of its own; measurements wait until nobody else of throughtime measures here."""
    if order["do"] == "compare":
        return _answer_of_child(order)
    machine = FileLock(MACHINE_LOCK)
    try:
        machine.acquire(timeout=0)
    except Timeout:
        tell("waiting: another run measures on this machine")
        machine.acquire()
    try:
        return _answer_of_child(order)
    finally:
        machine.release()


def _answer_of_child(order: Order) -> Answer:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **dict.fromkeys(THREADS, str(order["threads"]))}
    command = [sys.executable, "-m", "throughtime.peers.child"]
    try:
        ended = subprocess.run(
            command, input=json.dumps(order), capture_output=True, text=True, env=environment, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {TIMEOUT} s"}
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.strip()]
        return {"failed": said[-1] if said else f"its process ended with {ended.returncode}"}
    return json.loads(ended.stdout.splitlines()[-1])
