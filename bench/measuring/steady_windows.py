"""The windows of a long sequence whose memory has to be counted: those until it repeats itself, and the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from throughtime.measuring.live_bytes import LiveBytes


def until_steady(live: LiveBytes, windows: Sequence[range], period: int) -> Iterator[range]:
    """Yield windows while they are learnt, until two periods have the same memory; then the last window.

    The second period is to raise no peak and to end with the live bytes with which it began. Every later period then
    starts as that one did and executes the same operations, so that none of them reaches the peak; the last window may
    differ, by the loss at the end and an update. A window that is longer than all before is never left out.

    Args:
        live: the count that observes the learning.
        windows: all windows of the sequence.
        period: steps after which the rule does the same again, at least.
    """
    start = level = peak = 0
    longest = list(accumulate((len(window) for window in reversed(windows)), max))[::-1]  # from each window on
    for n, window in enumerate(windows, start=1):
        yield window
        if window.stop - start < period or n == len(windows):
            continue
        if start and (live.current, live.peak) == (level, peak) and longest[n] <= max(map(len, windows[:n])):
            yield windows[-1]
            return
        start, level, peak = window.stop, live.current, live.peak
