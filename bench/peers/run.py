"""Execution of the comparison: order of the measurements, a fresh process for each, and the rows of the result."""

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

from throughtime.measuring.machine_lock import MachineLock
from throughtime.peers.compare import TOLERANCE
from throughtime.peers.workload import PEERS, Peer, Workload, entrants, missing

TIMEOUT = 1200
"""Time limit of a child process in seconds, so that a very slow loop does not delay the others."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC")
"""Environment variables that set a library's number of threads; the last is that of XLA."""

ChildInput = dict[str, Any]
ChildOutput = dict[str, Any]
"""Result of the child process, or the key `failed` with the reason."""


class Measurement(NamedTuple):
    """Measurement of one implementation on one workload."""

    work: str
    implementation: str
    kind: str
    unit: str
    median: float
    """Median over the samples of all rounds, like the two fields below."""
    min: float
    max: float
    n: int
    rounds: int
    """Number of fresh processes."""
    ratio: float | None
    """Median divided by our median; null if we have none."""
    floor: float | None
    """Time of the matrix products, optimiser and traces of the workload with our rule, the least of all rounds; rates
    without other load are measured once and come from the cache afterwards. Null for bytes, and if other processes
    used the machine in every round with several threads, whose rates are then too low."""
    floor_ratio: float | None
    """Median divided by the floor."""
    compile_seconds: float | None
    """Time of the first call beyond the median (compilation and start), median over rounds; no sample contains it."""
    threads: int
    contended: bool
    """Whether other processes used the machine during the measurement."""
    difference: float | None
    """Difference from our answer, see `compare.py`; null for ours, and if `note` says why they differ."""
    note: str
    versions: dict[str, str]


class LeftOut(NamedTuple):
    """An implementation without a row for a workload."""

    work: str
    implementation: str
    why: str
    fault: bool
    """True: the implementation failed or disagreed; False: it is not installed."""

    def __str__(self) -> str:
        return f"{self.work}: {self.implementation}: {self.why}"


class PeerResults(NamedTuple):
    """Rows of one or of several workloads."""

    rows: list[Measurement]
    left_out: list[LeftOut]

    def and_then(self, other: PeerResults) -> PeerResults:
        """Return the rows of both outcomes, beginning with those of this one."""
        return PeerResults([*self.rows, *other.rows], [*self.left_out, *other.left_out])


def side_by_side(
    work: Workload,
    names: Sequence[str],
    *,
    threads: int,
    rounds: int,
    ask: Callable[[ChildInput], ChildOutput],
    tell: Callable[[str], None],
) -> PeerResults:
    """Compare the answers, then measure: each round runs every implementation once, one after the other.

    Args:
        work: the workload.
        names: implementations besides ours; empty: all.
        threads: number of threads of each implementation.
        rounds: number of fresh processes for each implementation.
        ask: function that executes an order in a fresh process.
        tell: function that prints a line of progress.
    """

    def order(do: str, name: str) -> ChildOutput:
        tell(f"{work.name}: {do} {'' if do == 'floor' else name}".rstrip())
        return ask({"do": do, "work": work._asdict(), "implementation": name, "threads": threads})

    left_out: list[LeftOut] = []
    apart: dict[str, float | None] = {}
    for name in entrants(work, names):
        peer = PEERS[name]
        if why := missing(peer):
            left_out.append(LeftOut(work.name, name, f"not run here: {why}", fault=False))
        elif peer.kind == "ours" or work.pair in peer.no_pair:
            apart[name] = None
        elif why := _disagreement(peer, answer := order("compare", name)):
            left_out.append(LeftOut(work.name, name, why, fault=True))
        else:
            apart[name] = answer["size"]

    timings: dict[str, list[ChildOutput]] = defaultdict(list)
    floors: list[ChildOutput] = []
    stored = work.does == "stored"
    for _ in range(1 if stored else rounds):  # bytes are the same in each round
        if not stored:
            floors.append(order("floor", "ours"))
        for name in apart:
            timings[name].append(order("time", name))
    for name in [*timings]:
        if failure := next((answer["failed"] for answer in timings[name] if "failed" in answer), None):
            left_out.append(LeftOut(work.name, name, f"failed: {failure}", fault=True))
            del timings[name]
    return PeerResults(rows_of(work, timings, floors, apart, threads), left_out)


def _disagreement(peer: Peer, answer: ChildOutput) -> str | None:
    """Return the reason why an answer differs from ours; None if it agrees."""
    allowed = TOLERANCE[peer.precision]
    if "failed" in answer:
        return f"failed: {answer['failed']}"
    if answer["size"] <= allowed:
        return None
    where = f"{answer['where']} differs from ours by {answer['size']:.2g} of the largest"
    return f"{where} ({peer.precision}, {allowed:g} allowed)"


def rows_of(
    work: Workload,
    timings: dict[str, list[ChildOutput]],
    floors: list[ChildOutput],
    apart: dict[str, float | None],
    threads: int,
) -> list[Measurement]:
    """Combine the measurements of the child processes into rows."""
    samples = {name: [s for answer in answers for s in answer["samples"]] for name, answers in timings.items()}
    medians = {name: statistics.median(answers) for name, answers in samples.items()}
    ours = medians.get("ours")
    clear = [answer for answer in floors if "floor" in answer and not (answer["contended"] and threads > 1)]
    floor = min((answer["floor"] for answer in clear), default=None)
    rows = []
    for name, median in medians.items():
        firsts = [answer["first"] for answer in timings[name] if answer["first"] is not None]
        peer, n = PEERS[name], work.timed_steps or 1
        rows.append(
            Measurement(
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
                note=peer.first_update or peer.no_pair.get(work.pair, ""),
                versions={d: version(d) for d in ("throughtime", "torch", *peer.needs)},
            )
        )
    return rows


def in_fresh_process(order: ChildInput, tell: Callable[[str], None]) -> ChildOutput:
    """Execute an order in a fresh process; a measurement waits until no other run of throughtime measures here."""
    if order["do"] == "compare":
        return _answer_of_child(order)
    machine = MachineLock()
    machine.acquire(tell)
    try:
        return _answer_of_child(order)
    finally:
        machine.release()


def _answer_of_child(order: ChildInput) -> ChildOutput:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", **dict.fromkeys(THREADS, str(order["threads"]))}
    command = [sys.executable, "-m", "throughtime.peers.child"]
    try:
        ended = subprocess.run(
            command, input=json.dumps(order), capture_output=True, text=True, env=environment, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"time limit of {TIMEOUT} s exceeded"}
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        return {"failed": lines[-1] if lines else f"its process ended with {ended.returncode}"}
    return json.loads(ended.stdout.splitlines()[-1])
