"""Sweeps in processes of their own, and whether their records are those of an undisturbed sweep."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.attacks.basics import Attempt, FaultError, Injected, require_answer
from tests.children import child, hear_ctrl_c
from tests.fire import hit
from throughtime.records.store import Store
from throughtime.running.rerun import differences

HITS = 30
"""Mean number of kills in the time of an undisturbed sweep."""
WORDS = [sys.executable, "-m", "throughtime"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


class Sweep:
    """A suite that is run undisturbed once, and then under attack.

    Args:
        suite: name or path.
        options: of `throughtime run`.
        folder: for results.

    Attributes:
        calm: the results of the undisturbed sweep.
        seconds: its duration.
    """

    def __init__(self, suite: str, options: list[str], folder: Path) -> None:
        self.suite, self.options, self.folder, self.calm = suite, options, folder, folder / "calm"
        began = time.monotonic()
        done = subprocess.run(self.command(self.calm), env=ENVIRONMENT, capture_output=True, text=True)
        self.seconds = time.monotonic() - began
        if done.returncode:
            raise FaultError(f"the undisturbed sweep failed:\n{done.stderr[-2000:]}")

    def command(self, results: Path) -> list[str]:
        words = ["run", self.suite, "--scale", "tiny", "--results", str(results), "--rerun", "failed", "--jobs", "1"]
        return [*WORDS, *words, *self.options]

    def require_same(self, results: Path, what: str, missing: str = "") -> None:
        """Raise FaultError unless the records in a folder are those of the undisturbed sweep, see `require_same`."""
        require_same(self.calm, results, what, missing)


def require_same(calm: Path, results: Path, what: str, missing: str = "") -> None:
    """Raise FaultError unless two folders of results have the same runs with the same numbers, bit for bit.

    A number may be missing for the reason `missing`.
    """
    before, now = ({s.record.label: s for s in Store(folder).records()} for folder in (calm, results))
    if before.keys() != now.keys():
        raise FaultError(f"{what}: the records of {sorted(before.keys() ^ now.keys())} are missing or too many")
    others = [
        (label, d)
        for label in before
        for d in differences(before[label], now[label])
        if d.counts and not (missing and missing in d.now)
    ]
    if others:
        raise FaultError(f"{what}: other records: {others[:5]}")


def kills(dice: random.Random, folder: Path) -> Iterator[Attempt]:
    """Sweeps of `quick` at scale tiny, of the cells with LIF and ALIF on digits, one replicate, without the passes that
    measure this machine: something is killed at random times, the runner is started again, until all is done; the
    records are those of an undisturbed sweep, bit for bit."""
    small = [
        "--set",
        "replicates=1",
        "--set",
        "passes=[train, bytes]",
        "--only",
        "* lif digits",
        "--only",
        "* alif digits",
    ]
    sweep = Sweep("quick", small, folder)
    pause = sweep.seconds / HITS
    number = 0

    def attempt() -> Injected:
        results, hits = folder / str(number), Counter[str]()
        while True:
            path = results.parent / f"{number}.log"
            with (
                path.open("a") as log,
                child(sweep.command(results), stdout=log, stderr=log, env=ENVIRONMENT) as process,
            ):
                while process.poll() is None:
                    time.sleep(dice.expovariate(1 / pause))
                    hits[hit(process, dice)] += 1
            if process.returncode == 0:
                break
            if "Traceback" in (printed := path.read_text()):
                raise FaultError(f"after {dict(hits)}:\n{printed[-2000:]}")
        sweep.require_same(results, f"after {dict(hits)}")
        print(f"  {dict(hits)}", flush=True)
        return Injected(hits.total() - hits["nothing there"] - hits["already over"])

    while True:
        number += 1
        yield attempt


def answer(
    words: list[str], prepare: Callable[[], object] = hear_ctrl_c, settings: dict[str, str] | None = None, **options
) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed, and raise FaultError if that is no answer."""
    done = subprocess.run(
        words,
        env=ENVIRONMENT | (settings or {}),
        preexec_fn=prepare,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **options,
    )
    printed = done.stdout.decode(errors="replace")
    require_answer(done.returncode, printed, f"{settings or ''} {' '.join(words)}")
    return done.returncode, printed


def ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
