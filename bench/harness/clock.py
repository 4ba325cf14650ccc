"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from throughtime.harness.device import synchronise


class Clock:
    """Seconds spent in named phases; an inner phase's time is taken out of the outer one's.

    A phase begins and ends when the device has done all that was asked of it, so that its work is booked where it was
    asked for. On a device that waiting costs time itself: work of two phases no longer overlaps.
    """

    def __init__(self) -> None:
        self.phases: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        synchronise()
        self._inner.append(0.0)
        start = time.perf_counter()
        try:
            yield
            synchronise()
        finally:
            spent = time.perf_counter() - start
            self.phases[name] += spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent
