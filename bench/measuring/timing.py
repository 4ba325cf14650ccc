"""Wall time of a repeated call, with a warm-up and a test whether the warm-up was long enough; all samples are kept."""

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
"""Least and largest number of repeats; in between, as many as take SECONDS."""
SECONDS = 1.0
ROUNDS = 3
"""Largest number of rounds; another round follows while the repeats still get faster."""
LEVEL, FALL = 0.01, 0.02
"""A round still gets faster if `falling` is at most LEVEL and the median of its second half is smaller than that of its
first half by the share FALL."""
CONTENDED, TICKS = 0.05, 0.03
"""Share of one core, and seconds (three ticks of the kernel's clock), that other processes may use before a measurement
counts as contended."""


class OtherLoad:
    """Processor time that other processes used since construction: user and system time of all cores in seconds."""

    def __init__(self) -> None:
        self._start = self._busy()

    def seconds(self) -> float:
        """Return the time; it may be slightly negative, because the kernel counts in ticks of 10 ms."""
        return self._busy() - self._start

    @staticmethod
    def _busy() -> float:
        everyone, own = psutil.cpu_times(), psutil.Process().cpu_times()
        # On Linux the user time of a process includes that at a lower priority, and that of all processes excludes it.
        user = everyone.user + getattr(everyone, "nice", 0.0)
        return user + everyone.system - own.user - own.system


class Spread(NamedTuple):
    """Median and quartiles of samples, by linear interpolation."""

    median: float
    low: float
    high: float


class Timing(NamedTuple):
    """Times of the repeats in seconds."""

    samples: list[float]
    """Times of the last round, in order."""
    median: float
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""
    warm_up: list[float]
    """Earlier times, in order: the fixed warm-up, then rounds that still got faster."""
    drift: float
    """Value p of `falling` for the samples."""
    still_warming: bool
    """Whether even the last round still got faster; its samples may then be too long."""
    phases: dict[str, list[float]]
    """Seconds of each repeat in each phase of the clock; their sum is the sample, up to a microsecond."""
    contended: bool
    """Whether other processes used the machine during the last round."""


class Others:
    """Measures from construction on whether other processes use the machine."""

    def __init__(self) -> None:
        self._load, self._begun = OtherLoad(), time.perf_counter()

    def contended(self) -> bool:
        """Return whether they used more than the share CONTENDED of a core so far."""
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
    """Time a call: `warm_up` calls, then rounds of calls until a round no longer gets faster.

    False alarms, by simulation (`tests/measuring/test_timing.py` repeats it): with independent noise, normal or
    heavy-tailed, the test takes 1 % of rounds for warming up, and in 20 000 runs it never took all three rounds for it.
    With noise that is correlated over several repeats, such as intermittent load of other processes, it takes up to
    17 % of rounds of 20 and 0.13 % of runs. A false alarm costs another round and changes no number. Load that ends
    within a round may look like warming up, too; load that begins does not, and increases the spread.

    Power: with noise of 2 %, a decrease of 20 % that fades over five repeats is detected in all rounds of 20 and in a
    third of rounds of 5, where only a monotonic decrease is significant. A decrease of less than 2 % is accepted.

    Args:
        once: the call to time; it returns when its computation is complete (a device is synchronised).
        clock: records the phases of `once`. Time outside all phases counts as `learn`.
        warm_up: calls before the first round.
        repeats: least (2 or more) and largest number of calls in a round.
        seconds: length of a round between these two bounds.
        rounds: largest number of rounds.
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
    """Return whether the samples decrease from first to last significantly and by more than FALL."""
    half = len(samples) // 2
    first, second = statistics.median(samples[:half]), statistics.median(samples[-half:])
    return falling(samples) <= LEVEL and first > (1 + FALL) * second


def falling(samples: Sequence[float]) -> float:
    """Return the probability that independent, identically distributed samples have at least as many falling pairs.

    It is the one-sided test of Mann (1945) and Kendall, by the exact distribution of the number of inversions of a
    random permutation. It depends on ranks alone, so a single outlier has no more weight than any sample. A pair of
    equal samples does not fall.
    """
    pairs = sum(earlier > later for earlier, later in itertools.combinations(samples, 2))
    inversions = np.ones(1)
    for k in range(2, len(samples) + 1):
        inversions = np.convolve(inversions, np.full(k, 1 / k))
    return float(min(inversions[pairs:].sum(), 1.0))


def spread(samples: Sequence[float]) -> Spread:
    """Return median and quartiles."""
    low, median, high = np.quantile(samples, (0.25, 0.5, 0.75)).tolist()
    return Spread(median, low, high)


def _sample(once: Callable[[], object], clock: Clock) -> tuple[float, dict[str, float]]:
    """Call once; return the seconds in total and in each phase."""
    before = dict(clock.phases)
    start = time.perf_counter()
    with clock.phase("learn"):
        once()
    sample = time.perf_counter() - start
    return sample, {name: total - before.get(name, 0.0) for name, total in clock.phases.items()}
