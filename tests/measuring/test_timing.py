"""Timing with a clock of the test's own: rounds, warming up, spread, phases; how often the drift test errs."""

from __future__ import annotations

import itertools
import math
from collections import namedtuple
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from scipy.stats import kendalltau

from throughtime.harness.clock import Clock
from throughtime.measuring import timing
from throughtime.measuring.timing import falling, still_warming, timed


class FakeTime:
    """A clock that moves only when a test advances it."""

    now = 0.0
    others = 0.0
    """Seconds of processor time that others used so far."""

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def fake(monkeypatch):
    fake = FakeTime()

    class OtherLoad:
        def __init__(self) -> None:
            self.start = fake.others

        def seconds(self) -> float:
            return fake.others - self.start

    monkeypatch.setattr(timing.time, "perf_counter", lambda: fake.now)
    monkeypatch.setattr(timing, "OtherLoad", OtherLoad)
    return fake


def lasting(fake: FakeTime, durations: Iterable[float]) -> Callable[[], None]:
    """Something that takes these seconds, one after the other."""
    left = iter(durations)
    return lambda: fake.pass_by(next(left))


NOISE = [0.101, 0.098, 0.103, 0.1, 0.099, 0.104, 0.097, 0.102, 0.1, 0.1]


def test_flat_noise_is_one_round(fake):
    # Ten repeats of 0.1 s fill the second; two before them warm up.
    measured = timed(lasting(fake, [9.0, 8.0, *NOISE]), Clock())
    assert measured.samples == pytest.approx(NOISE)
    assert measured.warm_up == pytest.approx([9.0, 8.0])
    assert not measured.still_warming
    assert not measured.contended
    # Sorted: 97 98 99 100 100 100 101 102 103 104 ms. The quartiles lie at 2.25 and 6.75 of 0 ... 9.
    assert measured.median == pytest.approx(0.1)
    assert (measured.low, measured.high) == pytest.approx((0.09925, 0.10175))


def test_what_still_gets_faster_is_done_again(fake):
    decay = [0.1 * (1 + math.exp(-i / 4)) for i in range(60)]
    measured = timed(lasting(fake, [1.0, 1.0, *decay]), Clock(), seconds=2.0)
    # Round one, 16 repeats until 2 s are over, falls from 0.2 s to 0.102 s; what is left for round two is below 2 %.
    first = len(measured.warm_up) - 2
    assert first == 16
    assert measured.warm_up == pytest.approx([1.0, 1.0, *decay[:first]])
    assert measured.samples == pytest.approx(decay[first : first + len(measured.samples)])
    assert not measured.still_warming
    assert measured.drift <= 0.01, "it still falls, by too little to matter"


def test_what_never_gets_warm_says_so(fake):
    falling_on = [0.2 * 0.98**i for i in range(100)]
    measured = timed(lasting(fake, falling_on), Clock(), seconds=0.5, rounds=3)
    assert measured.still_warming
    everything = [*measured.warm_up, *measured.samples]
    assert everything == pytest.approx(falling_on[: len(everything)]), "every sample is kept, in order"
    assert measured.samples[-1] < measured.samples[0]


def test_load_that_begins_shows_as_spread(fake):
    measured = timed(lasting(fake, [0.125] * 7 + [0.25] * 5), Clock(), repeats=(10, 10), seconds=9)
    assert (measured.low, measured.median, measured.high) == (0.125, 0.1875, 0.25)
    assert measured.drift == pytest.approx(1.0)
    assert not measured.still_warming
    assert len(measured.warm_up) == 2


def test_load_that_ends_costs_a_round(fake):
    loaded, free = [2 * sample for sample in NOISE], NOISE
    measured = timed(lasting(fake, [0.2] * 2 + loaded + free * 3), Clock(), repeats=(20, 20), seconds=9)
    assert measured.samples == pytest.approx(free * 2)
    assert measured.warm_up == pytest.approx([0.2] * 2 + loaded + free)
    assert not measured.still_warming


@pytest.mark.parametrize(("seconds", "repeats"), [(0.001, 20), (0.08, 13), (0.3, 5), (60.0, 5)])
def test_as_many_repeats_as_fit_into_a_second_but_5_to_20(fake, seconds, repeats):
    assert len(timed(lasting(fake, itertools.repeat(seconds)), Clock()).samples) == repeats


def test_phases_of_each_repeat_add_up_to_it(fake):
    clock, updates = Clock(), itertools.count(1)

    def once() -> None:
        fake.pass_by(3.0)
        with clock.phase("update"):
            fake.pass_by(float(next(updates)))

    measured = timed(once, clock)
    assert measured.phases == {"learn": [3.0] * 5, "update": [3.0, 4.0, 5.0, 6.0, 7.0]}
    assert measured.samples == [6.0, 7.0, 8.0, 9.0, 10.0]
    assert clock.phases == {"learn": 21.0, "update": 28.0}, "the clock's own totals go on"


@pytest.mark.parametrize(("others", "contended"), [(0.04, False), (0.06, True)])
def test_others_may_use_a_twentieth_of_a_core(fake, others, contended):
    def once() -> None:
        fake.pass_by(0.1)
        fake.others += 0.1 * others

    assert timed(once, Clock()).contended is contended


def test_load_of_others_is_that_of_all_without_the_process(monkeypatch):
    """All processes use 10 + 4 and then 15 + 5 seconds, this one 3 + 1 and then 6 + 2; others at a low priority 7."""
    Own, All = namedtuple("Own", "user system"), namedtuple("All", "user system nice")
    everyone, own = iter([All(10, 4, 1), All(15, 5, 8)]), iter([Own(3, 1), Own(6, 2)])
    monkeypatch.setattr(timing.psutil, "cpu_times", lambda: next(everyone))
    monkeypatch.setattr(timing.psutil.Process, "cpu_times", lambda self: next(own))
    assert timing.OtherLoad().seconds() == 9


def test_what_is_timed_may_fail(fake):
    def once() -> None:
        raise FloatingPointError

    with pytest.raises(FloatingPointError):
        timed(once, Clock())


def test_falling_by_hand():
    assert falling([3, 2, 1]) == pytest.approx(1 / 6), "one order of six has three pairs that fall"
    assert falling([3, 1, 2]) == pytest.approx(3 / 6), "312, 231 and 321 have two or more"
    assert falling([1, 2, 3]) == pytest.approx(1)
    assert falling([1, 1, 1]) == pytest.approx(1), "equal samples do not fall"
    assert falling([5, 4, 3, 2, 1]) == pytest.approx(1 / 120)


def test_falling_is_kendalls_test():
    random = np.random.default_rng(1)
    for n in (5, 8, 20):
        samples = random.normal(size=n)
        expected = kendalltau(range(n), samples, alternative="less", method="exact").pvalue
        assert falling(samples.tolist()) == pytest.approx(expected)


def test_one_outlier_at_the_start_is_no_drift():
    assert not still_warming([10.0, *NOISE[1:]])


def lasting_noise(random: np.random.Generator, n: int) -> np.ndarray:
    """Noise of 5 %, each sample correlated by 0.8 with the one before: the worst case in the docstring of `timed`."""
    noise, level = [], random.normal()
    for _ in range(n):
        level = 0.8 * level + 0.6 * random.normal()
        noise.append(math.exp(0.05 * level))
    return np.array(noise)


@pytest.mark.parametrize("n", [5, 20])
@pytest.mark.parametrize(
    ("noise", "most"),
    [
        (lambda random, n: np.exp(0.05 * random.normal(size=n)), 0.01),
        (lambda random, n: 1 + 0.05 * random.pareto(1.5, size=n), 0.01),
        (lasting_noise, 0.17),
    ],
    ids=["normal", "heavy-tailed", "lasting"],
)
def test_how_often_a_flat_round_looks_like_warming_up(noise, n, most):
    random, rounds = np.random.default_rng(n), 1500
    alarms = sum(still_warming(noise(random, n).tolist()) for _ in range(rounds))
    assert alarms <= rounds * most + 3 * math.sqrt(rounds * most), "three standard deviations above what is claimed"


@pytest.mark.parametrize(("n", "least", "most"), [(5, 0.25, 0.42), (20, 0.98, 1)])
def test_how_often_a_fall_is_found(n, least, most):
    """A drift of 20 % that fades over five repeats, in noise of 2 %."""
    random, rounds = np.random.default_rng(n), 500
    result = sum(
        still_warming(((1 + 0.2 * np.exp(-np.arange(n) / 5)) * np.exp(0.02 * random.normal(size=n))).tolist())
        for _ in range(rounds)
    )
    assert least <= result / rounds <= most
