"""Wall time of a run by phase."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from throughtime.harness.device import synchronise


class Clock:
    """Seconds spent in named phases; the time of a nested phase is not counted in the outer phase.

    A phase synchronises with the device at its beginning and its end, so that device time counts for the phase that
    launched the work. On a GPU this costs time: the work of two phases no longer overlaps.
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
