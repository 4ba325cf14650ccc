"""Time of a thing done again and again: warmed up, and looked at whether it was; every sample is kept."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import psutil

from throughtime.harness.clock import Clock

WARM_UP = 2
REPEATS = (5, 20)
"""At least, at most; between them as many as fit into SECONDS."""
SECONDS = 1.0
ROUNDS = 3
"""Rounds of repeats that are taken while they still get faster."""
LEVEL, FALL = 0.01, 0.02
"""A round still gets faster if it falls by the test of `falling` at this level, and from the median of its first half
to that of its second by this share."""
CONTENDED, TICKS = 0.05, 0.03
"""Share of one core, and seconds (three ticks of the kernel's clock), that others may use meanwhile before a
measurement counts as contended."""


class OtherLoad:
    """Seconds of processor time that other processes used since this was made; user and system time of all cores."""

    def __init__(self) -> None:
        self._start = self._busy()

    def seconds(self) -> float:
        """May be slightly negative: the kernel counts in ticks of 10 ms."""
        return self._busy() - self._start

    @staticmethod
    def _busy() -> float:
        everyone, own = psutil.cpu_times(), psutil.Process().cpu_times()
        return everyone.user + everyone.system - own.user - own.system


class Spread(NamedTuple):
    """The middle of some samples: median and quartiles, interpolated between samples."""

    median: float
    low: float
    high: float


class Timing(NamedTuple):
    """Repeats of one thing, in seconds."""

    samples: list[float]
    """Of the last round, in order."""
    median: float
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""
    warm_up: list[float]
    """What was done before, in order: the fixed warm-up, then rounds that still got faster."""
    drift: float
    """p of `falling` for the samples."""
    still_warming: bool
    """Whether even the last round got faster from its first repeat to its last: its samples are, if anything, too
    long."""
    phases: dict[str, list[float]]
    """Seconds of each repeat in each phase of the clock; together, but for a microsecond, the sample."""
    contended: bool
    """Whether other processes used the machine during the last round."""


class Others:
    """Watches from its making on whether other processes use the machine."""

    def __init__(self) -> None:
        self._load, self._begun = OtherLoad(), time.perf_counter()

    def contended(self) -> bool:
        """Whether they used more than CONTENDED of a core so far."""
        return self._load.seconds() > max(CONTENDED * (time.perf_counter() - self._begun), TICKS)


def timed(
    once: Callable[[], object],
    clock: Clock,
    *,
    warm_up: int = WARM_UP,
    repeats: tuple[int, int] = REPEATS,
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
) -> Timing:
    """Do it `warm_up` times, then in rounds until a round no longer gets faster, and time each.

    How often this errs, by simulation (`tests/measuring/test_timing.py` repeats it): of independent noise, normal or
    heavy-tailed, 1 % of rounds look like warming up, and in no run of 20 000 did all three rounds. Of noise that lasts
    for several repeats, such as load of others that comes and goes, up to 17 % of rounds of 20 do, and 0.13 % of runs.
    A false alarm costs another round and changes no number. Load of others that ends within a round may look like
    warming up, too; load that begins does not, and shows as spread.

    What it finds: with noise of 2 %, a fall of 20 % that fades over five repeats is found by all rounds of 20 and by a
    third of rounds of 5, in which only an unbroken fall counts. A fall of less than 2 % in a round is let pass.

    Args:
        once: what is timed; it returns when all its work is done (a device is synchronised).
        clock: what `once` books its phases on. Time in none of them is booked as `learn`.
        warm_up: times it is done before the first round.
        repeats: least, 2 or more, and most in a round.
        seconds: as many repeats as fit into it, between the two.
        rounds: at most.
    """
    before = [_sample(once, clock)[0] for _ in range(warm_up)]
    least, most = repeats
    for left in reversed(range(rounds)):
        samples: list[float] = []
        booked: list[dict[str, float]] = []
        others, begun = Others(), time.perf_counter()
        while len(samples) < least or (len(samples) < most and time.perf_counter() - begun < seconds):
            sample, phases = _sample(once, clock)
            samples.append(sample)
            booked.append(phases)
        contended, warming = others.contended(), still_warming(samples)
        if not warming or not left:
            break
        before += samples
    names = dict.fromkeys(itertools.chain(*booked))
    return Timing(
        samples,
        *spread(samples),
        warm_up=before,
        drift=falling(samples),
        still_warming=warming,
        phases={name: [phases.get(name, 0.0) for phases in booked] for name in names},
        contended=contended,
    )


def still_warming(samples: Sequence[float]) -> bool:
    """Whether the samples fall from first to last: surely, and by enough to matter."""
    half = len(samples) // 2
    first, second = statistics.median(samples[:half]), statistics.median(samples[-half:])
    return falling(samples) <= LEVEL and first > (1 + FALL) * second


def falling(samples: Sequence[float]) -> float:
    """How often independent samples of one distribution have, by chance, at least as many pairs that fall.

    The test of Mann (1945) and Kendall, one-sided, by the exact distribution of the number of inversions of a random
    permutation. Ranks alone count, so that a single outlier weighs no more than any sample. Equal samples do not fall.
    """
    pairs = sum(earlier > later for earlier, later in itertools.combinations(samples, 2))
    inversions = np.ones(1)
    for k in range(2, len(samples) + 1):
        inversions = np.convolve(inversions, np.full(k, 1 / k))
    return float(min(inversions[pairs:].sum(), 1.0))


def spread(samples: Sequence[float]) -> Spread:
    """Median and quartiles."""
    low, median, high = np.quantile(samples, (0.25, 0.5, 0.75)).tolist()
    return Spread(median, low, high)


def _sample(once: Callable[[], object], clock: Clock) -> tuple[float, dict[str, float]]:
    """Seconds of doing it once, and what of them each phase took."""
    before = dict(clock.phases)
    start = time.perf_counter()
    with clock.phase("learn"):
        once()
    sample = time.perf_counter() - start
    return sample, {name: total - before.get(name, 0.0) for name, total in clock.phases.items()}
