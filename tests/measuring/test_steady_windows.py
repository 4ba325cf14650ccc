"""Windows that are left out of a count: only those after two periods with the same memory."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch

from throughtime.measuring.live_bytes import LiveBytes
from throughtime.measuring.steady_windows import until_steady


def learnt(lengths, period, allocate) -> list[int]:
    """First steps of the windows that are yielded; `allocate(t)` is what a rule does with the window at t."""
    windows = [range(end - k, end) for k, end in zip(lengths, accumulate(lengths), strict=True)]
    first_steps = []
    with LiveBytes() as live:
        for window in until_steady(live, windows, period):
            allocate(window.start)
            first_steps.append(window.start)
    return first_steps


def nothing(t: int) -> None:
    torch.ones(3)


def test_a_rule_that_repeats_itself_needs_two_periods_and_the_last_window():
    assert learnt([1] * 100, 1, nothing) == [0, 1, 99]
    assert learnt([1] * 100, 4, nothing) == [*range(8), 99]
    assert learnt([5, 25] * 4, 30, nothing) == [0, 5, 30, 35, 95]


@pytest.mark.parametrize("period", [1, 3])
def test_memory_that_grows_is_counted_in_full(period):
    history = []
    assert learnt([1] * 20, period, lambda t: history.append(torch.ones(2))) == [*range(20)]


def test_a_peak_within_a_period_begins_another():
    """The third window needs more than the first two."""
    assert learnt([1] * 20, 2, lambda t: torch.ones(9 if t == 2 else 3)) == [0, 1, 2, 3, 4, 5, 19]


def test_a_longer_window_is_never_left_out():
    assert learnt([1] * 10 + [8] + [1] * 10, 1, nothing) == [*range(11), 27]


def test_a_short_sequence_is_whole():
    assert learnt([1, 1], 1, nothing) == [0, 1] and learnt([4], 4, nothing) == [0]
