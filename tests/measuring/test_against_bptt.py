"""A rule and BPTT in turns: the ratio of their times does not depend on a load that meets both."""

from __future__ import annotations

import pytest

from tests.harness.test_training import spec
from throughtime.measuring import against_bptt
from throughtime.measuring.against_bptt import TURNS, in_turns
from throughtime.passes.passes import run_pass


class Clock:
    """Time that advances by the seconds of each call, times a load that grows from call to call."""

    def __init__(self, contended: bool = False) -> None:
        self.now, self.load, self.calls, self.busy = 0.0, 1.0, [], contended

    def perf_counter(self) -> float:
        return self.now

    def call(self, name: str, seconds: float, growth: float = 1.0):
        def once() -> None:
            self.calls.append(name)
            self.now += seconds * self.load
            self.load *= growth

        return once

    def contended(self) -> bool:
        return self.busy


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(against_bptt, "time", made)
    monkeypatch.setattr(against_bptt, "Others", lambda: made)
    return made


def test_the_ratio_is_that_of_the_times_and_turns_alternate(clock):
    turns = in_turns(clock.call("rule", 0.2), clock.call("bptt", 0.1))
    assert turns.ratios == pytest.approx([2.0] * TURNS[0]) and turns.median == pytest.approx(2.0)
    assert clock.calls[4:] == ["rule", "bptt", "bptt", "rule"] * 2 + ["rule", "bptt"], "after the warm-up"


def test_a_load_that_grows_does_not_favour_whoever_is_first(clock):
    """Each call meets 5 % more load than the one before: turns are 5 % above and below the ratio."""
    turns = in_turns(clock.call("rule", 0.01, 1.05), clock.call("bptt", 0.01, 1.05))
    assert {round(ratio, 6) for ratio in turns.ratios} == {1.05, round(1 / 1.05, 6)}
    assert len(turns.ratios) > TURNS[0]


@pytest.mark.parametrize("busy", [True, False])
def test_a_busy_machine_is_named(clock, busy):
    clock.busy = busy
    assert in_turns(clock.call("rule", 1.0), clock.call("bptt", 1.0)).contended is busy


def test_the_pass_of_a_rule_and_of_bptt(tmp_path):
    measure = run_pass("ratio", spec("tbptt"), tmp_path).measures["time_over_bptt"]
    assert measure.value > 0 and TURNS[0] <= len(measure.samples) <= TURNS[1] and measure.unit == "1"
    reference = run_pass("ratio", spec("bptt"), tmp_path).measures["time_over_bptt"]
    assert (reference.value, reference.missing) == (None, "BPTT is the reference")
