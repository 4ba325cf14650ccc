"""Time of a rule relative to BPTT's: both train on the same batch in turns, in one process, so that load meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from throughtime.measuring.timing import WARM_UP, Others

TURNS = (5, 40)
"""Least and largest number of turns; in between, as many as take SECONDS."""
SECONDS = 1.0


class Turns(NamedTuple):
    """Times in turns."""

    ratios: list[float]
    """Time of the rule over that of BPTT, by turn."""
    contended: bool
    """Whether other processes used the machine in the meantime."""

    @property
    def median(self) -> float:
        """Return the median of the ratios."""
        return statistics.median(self.ratios)


def in_turns(rule: Callable[[], object], bptt: Callable[[], object]) -> Turns:
    """Time two calls in turns, after a warm-up; who is first alternates from turn to turn.

    Args:
        rule: trains the rule on a batch; it returns when its computation is complete.
        bptt: trains BPTT on the same batch.
    """
    for _ in range(WARM_UP):
        rule()
        bptt()
    ratios: list[float] = []
    others, begun = Others(), time.perf_counter()
    least, most = TURNS
    while len(ratios) < least or (len(ratios) < most and time.perf_counter() - begun < SECONDS):
        calls = {"rule": rule, "bptt": bptt} if len(ratios) % 2 == 0 else {"bptt": bptt, "rule": rule}
        seconds = {name: _seconds(call) for name, call in calls.items()}
        ratios.append(seconds["rule"] / seconds["bptt"])
    return Turns(ratios, others.contended())


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
