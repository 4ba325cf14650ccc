"""An attack with random faults, reproducible by its seed and bounded in time.

    python tests/attack.py --minutes 10 --seed 1      all kinds, each until it has its number of attempts or its time
    python tests/attack.py data kills --minutes 5     some kinds
    python tests/attack.py data-ts --attempts 20      one kind, a number of attempts

Each attempt damages an input or a surrounding, calls the package, and demands a result or a message: exit code 0, 1 or
2, or a UsageError. An unexpected exception, another exit code, or an attempt without an end is a fault. `kills` demands
the records of an undisturbed sweep. The last lines are the counts; the exit code is 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # for the helpers of the tests, not for the folders beside this file

from tests.attacks import data_files, surroundings, sweeps, texts
from tests.attacks.basics import Attack, Injected, NotRunError
from throughtime.datasets.files import fetch
from throughtime.errors import UsageError

SECONDS = 60
"""Limit of the processor time of an attempt."""
WALL_SECONDS = 1800
"""Limit of the wall time of an attempt, for one that waits for ever."""


class Kind(NamedTuple):
    """A kind of attack, and its number of attempts."""

    attack: Attack
    attempts: int


KINDS = {
    "suites": Kind(texts.suites, 600),
    "commands": Kind(texts.commands, 400),
    "records": Kind(texts.records, 400),
    **{f"data-{name}": Kind(attack, 200) for name, attack in data_files.FORMATS.items()},
    **{f"surroundings-{name}": Kind(attack, 4) for name, attack in surroundings.KINDS.items()},
    "kills": Kind(sweeps.kills, 200),
}


class Result(NamedTuple):
    """Counts and faults of the attempts of a kind."""

    attempts: int
    faults: list[str]
    not_run: str = ""
    """What this machine lacks."""


def attacked(kind: str, seed: int, seconds: float, most: int) -> Result:
    """Make attempts of one kind, until there are `most` or the time is over."""
    dice, faults, count, end = random.Random(f"{kind} {seed}"), [], 0, time.monotonic() + seconds
    home = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="attack-") as name:
        os.chdir(name)
        os.environ[fetch.CACHE] = str(Path(name, "cache"))
        try:
            for attempt in KINDS[kind].attack(dice, Path(name)):
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                signal.alarm(WALL_SECONDS)
                made: object = None
                try:
                    made = attempt()
                except UsageError:
                    pass
                except NotRunError:
                    raise
                except Exception:
                    faults.append(f"{kind}, seed {seed}, attempt {count}:\n{traceback.format_exc()[-3000:]}")
                finally:
                    signal.setitimer(signal.ITIMER_PROF, 0)
                    signal.alarm(0)
                count += made.faults if isinstance(made, Injected) else 1
                if time.monotonic() > end or count >= most:
                    break
        except NotRunError as reason:
            return Result(count, faults, str(reason))
        finally:
            os.chdir(home)
    return Result(count, faults)


def chosen(words: list[str]) -> list[str]:
    """Return the kinds that words name: whole names, or what stands before the hyphen."""
    return [kind for kind in KINDS if not words or {kind, kind.partition("-")[0]} & set(words)]


def main() -> int:
    """Attack for some minutes, print faults and counts, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    groups = sorted({kind.partition("-")[0] for kind in KINDS} - {*KINDS})
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, *groups, []], help="default: all")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--attempts", type=int, help="number of attempts of a kind; default: its own")
    arguments = parser.parse_args()

    def too_long(*_: object) -> None:
        raise TimeoutError("no end")

    for signum in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(signum, too_long)
    kinds = chosen(arguments.kinds)
    end, faults = time.monotonic() + 60 * arguments.minutes, []
    for left, kind in zip(range(len(kinds), 0, -1), kinds, strict=True):
        began = time.monotonic()
        share = (end - began) / left
        result = attacked(kind, arguments.seed, share, arguments.attempts or KINDS[kind].attempts)
        faults += result.faults
        print("\n".join(result.faults))
        took = f"{result.attempts} attempts, {len(result.faults)} faults, {time.monotonic() - began:.0f} s"
        print(f"{kind}: {took}" + (f"; not run here: {result.not_run}" if result.not_run else ""), flush=True)
    print(f"seed {arguments.seed}: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
