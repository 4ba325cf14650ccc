"""Claims of a learning rule on its memory: exact bytes of tensors and of NumPy arrays during one batch."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from throughtime.algorithms.base import LearningRule
from throughtime.checks.cases import Case
from throughtime.checks.fact import DoesNotApplyError, Observed
from throughtime.checks.tiny import BATCH, CLASSES, Recorder, seeded, sequence, train_batch, windows
from throughtime.datasets.task import Classification
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.loops import without_compiled_loops

TASK = Classification(CLASSES)
SHORT, BATCHES, FEW = 10, 14, 3
"""Length of the sequences of several batches, their number with the first neuron, and with the others."""
LENGTHS = (75, 90, 260)
"""Lengths of sequences; each has at least three blocks of e-prop: a first one, one between others, and a last one."""
SQUARES = (196, 256, 324, 400)
"""Lengths whose roots are whole numbers, for memory that grows with √T; they are so long that the peak lies at the same
moment for all of them, since the larger of two straight lines has a kink."""
LONG = 10_000
"""A window of so many steps or more counts as the whole sequence."""


def fixed_window(rule: LearningRule) -> int | None:
    """Return the length of the rule's longest window if it does not grow with T, else None."""
    window = rule.window(LONG)
    return window if window == rule.window(2 * LONG) < LONG else None


def memory_slope(rule: Callable[[], LearningRule], case: Case) -> Observed:
    """Return the largest slope in bytes a step between several lengths, of tensors at their peak and of arrays at the
    last step; of tensors between the first two lengths, unless the case is the first."""
    lengths: tuple[int, ...] = LENGTHS
    network, window = case.network, fixed_window(rule())
    if window is not None and window > LENGTHS[0]:
        lengths = (3 * window, 3 * window + 15, 4 * window)
    if rule().claims.memory == "O(window)" and len({rule().window(steps) for steps in lengths}) > 1:
        raise DoesNotApplyError("its window grows with T")
    if not case.is_first:
        lengths = lengths[:2]
    slopes = _slopes([tensor_bytes(rule(), network, steps) for steps in lengths], lengths)
    if case.is_first:
        slopes += _slopes([array_bytes(rule(), network, steps)[0] for steps in lengths[:2]], lengths)
    return Observed(max(slopes), shown(lengths))


def memory_growth(rule: Callable[[], LearningRule], case: Case) -> Observed:
    """Return the slope in bytes a step between the two longer of three lengths, over that between the two shorter."""
    lengths = (20, 40, 80)
    short, long = _slopes([all_bytes(rule(), case.network, steps) for steps in lengths], lengths)
    growth = long / short if short else 1.0 if long <= 0 else float("inf")
    return Observed(growth, shown(lengths))


def root_growth(rule: Callable[[], LearningRule], case: Case) -> Observed:
    """Return the growth of the bytes with √T between the two longer of four lengths, over that between the two shorter;
    1 for a straight line."""
    peaks = [all_bytes(rule(), case.network, steps) for steps in SQUARES]
    return Observed((peaks[3] - peaks[2]) / (peaks[1] - peaks[0]), shown(SQUARES))


def lets_go(rule: Callable[[], LearningRule], case: Case) -> Observed:
    """Return the largest number of bytes that are left after a batch: of tensors after each of several batches, and of
    arrays; after the first batches, of tensors alone, unless the case is the first."""
    learning, network = rule(), case.network
    with LiveBytes() as live, seeded(11):
        learning.start(network, TASK, SHORT)
        update, left = Forgetful(network, 0.0, learning.parameters()), []
        before = live.current
        for _ in range(BATCHES if case.is_first else FEW):
            train_batch(learning, *sequence(SHORT), update)
            if live.current != before:
                gc.collect()  # frees tensors in reference cycles
            left.append(abs(live.current - before))
    left += [array_bytes(rule(), network, SHORT)[1]] if case.is_first else []
    return Observed(max(left), f"{BATCHES if case.is_first else FEW} batches of {SHORT} steps")


def shown(lengths: Sequence[int]) -> str:
    """Return the lengths of the sequences, for the note."""
    return f"{', '.join(map(str, lengths))} steps, batch {BATCH}"


def all_bytes(rule: LearningRule, network: Recurrent, steps: int) -> int:
    """Return the bytes of tensors at their peak and of arrays at the last step, without the batch."""
    return tensor_bytes(rule, network, steps) + array_bytes(rule, network, steps)[0]


def _slopes(peaks: Sequence[int], lengths: Sequence[int]) -> list[float]:
    return [(b - a) / (n - m) for a, b, m, n in zip(peaks, peaks[1:], lengths, lengths[1:], strict=False)]


def tensor_bytes(rule: LearningRule, network: Recurrent, steps: int) -> int:
    """Count exact bytes of tensors over one batch; return the peak without the batch."""
    with LiveBytes() as live, seeded(11):
        rule.start(network, TASK, steps)
        update = Forgetful(network, 0.0, rule.parameters())
        before = live.current
        x, target = sequence(steps)
        batch = live.current - before
        live.reset_peak()
        rule.begin(BATCH, update)
        for t, part in windows(rule, x, target):
            rule.learn(part.x, part.target, t)
        peak = live.peak - batch
        rule.end()
    return peak


def array_bytes(rule: LearningRule, network: Recurrent, steps: int) -> tuple[int, int]:
    """Return the bytes of NumPy arrays that one batch allocates, alive after its last step and after the batch."""
    with seeded(11), without_compiled_loops():
        rule.start(network, TASK, steps)
        update = Forgetful(network, 0.0, rule.parameters())
        x, target = sequence(steps)
        with traced_arrays() as alive:
            rule.begin(BATCH, update)
            for t, part in windows(rule, x, target):
                rule.learn(part.x, part.target, t)
            at_end = alive()
            rule.end()
            gc.collect()
            return at_end, alive()


@contextmanager
def traced_arrays() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the bytes of the live NumPy arrays that were allocated in the context."""
    only = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()

    def alive() -> int:
        return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([only]).traces)

    before = alive()
    try:
        yield lambda: alive() - before
    finally:
        if not was_tracing:
            tracemalloc.stop()


class Forgetful(Recorder):
    """A recorder that stores nothing, so that its own memory does not grow."""

    def __call__(self) -> None:
        for p in (*self.parameters, *self.own):
            p.grad = None
