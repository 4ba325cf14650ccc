"""Execution of the comparison: order of the measurements, a fresh process for each, and the rows of the result."""

from __future__ import annotations

import functools
import json
import multiprocessing
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from throughtime.measuring.machine_lock import MachineLock
from throughtime.peers import child
from throughtime.peers.compare import TOLERANCE
from throughtime.peers.workload import PEERS, Peer, Workload, entrants, missing
from throughtime.running.engines.local import start_fork_server, without_main_script

TIMEOUT = 1200
"""Time limit of a child process in seconds, so that a very slow loop does not delay the others."""
GRACE = 5
"""Time in seconds for a child process to end after its answer, or after the time limit."""

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
    threads: Sequence[int],
    rounds: int,
    ask: Callable[[ChildInput], ChildOutput],
    tell: Callable[[str], None],
) -> PeerResults:
    """Compare the answers once, then measure: each round runs every implementation once, one after the other.

    Args:
        work: the workload.
        names: implementations besides ours; empty: all.
        threads: numbers of threads of each implementation, measured one after the other.
        rounds: number of fresh processes for each implementation.
        ask: function that executes an order in a fresh process.
        tell: function that prints a line of progress.
    """

    def order(do: str, name: str, n: int) -> ChildOutput:
        tell(f"{work.name}: {do} {'' if do == 'floor' else name}".rstrip())
        task = work.whole if do == "compare" else work
        return ask({"do": do, "work": task._asdict(), "implementation": name, "threads": n})

    left_out: list[LeftOut] = []
    apart: dict[str, float | None] = {}
    for name in entrants(work, names):
        peer = PEERS[name]
        if why := missing(peer):
            left_out.append(LeftOut(work.name, name, f"not run here: {why}", fault=False))
        elif peer.kind == "ours" or work.pair in peer.no_pair:
            apart[name] = None
        elif why := _disagreement(peer, answer := order("compare", name, max(threads))):
            left_out.append(LeftOut(work.name, name, why, fault=True))
        else:
            apart[name] = answer["size"]

    rows: list[Measurement] = []
    stored = work.does == "stored"
    for n in threads[:1] if stored else threads:  # bytes depend neither on the threads nor on the round
        timings: dict[str, list[ChildOutput]] = defaultdict(list)
        floors: list[ChildOutput] = []
        for _ in range(1 if stored else rounds):
            if not stored:
                floors.append(order("floor", "ours", n))
            for name in apart:
                timings[name].append(order("time", name, n))
        for name in [*timings]:
            if failure := next((answer["failed"] for answer in timings[name] if "failed" in answer), None):
                left_out.append(LeftOut(work.name, name, f"failed: {failure}", fault=True))
                del timings[name]
        rows += rows_of(work, timings, floors, apart, n)
    return PeerResults(rows, left_out)


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
    """Execute an order in a fresh process; a measurement waits until no other run of throughtime measures here.

    The same comparison is executed once: the training, forward pass and evaluation of a network share it.
    """
    if order["do"] == "compare":
        return _comparison(json.dumps(order))
    machine = MachineLock()
    machine.acquire(tell)
    try:
        return _answer_of_child(order)
    finally:
        machine.release()


@functools.cache
def _comparison(order: str) -> ChildOutput:
    return _answer_of_child(json.loads(order))


def _answer_of_child(order: ChildInput) -> ChildOutput:
    """Execute an order in a process from the fork server, which has imported torch and our package, and no library."""
    processes = multiprocessing.get_context("forkserver")
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=child.main, args=(order, sender), daemon=True)
    start_fork_server()
    with without_main_script():
        process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(TIMEOUT) else {"failed": f"time limit of {TIMEOUT} s exceeded"}
    except EOFError:
        process.join()
        return {"failed": f"its process ended with {process.exitcode}"}
    finally:
        process.join(GRACE)  # it removes the semaphores of its libraries
        process.kill()
        process.join()
