"""Peak of what PyTorch's allocator hands out: a second witness beside the exact count, and without its dispatch mode.

On the processor by the memory events of `torch.profiler`, of every allocation and release; on a CUDA device by the
caching allocator's own statistics. Against the exact count it sees more: tensors that kernels make inside themselves,
the 8 bytes of a number that autograd keeps, what Python makes past the dispatcher. It sees no memory that a library
takes past the allocator, such as the packing buffers of matrix products, and no rounding by the C library.
"""

from __future__ import annotations

import gc

from torch.profiler import ProfilerActivity, profile

from throughtime.datasets.batch import Batch
from throughtime.harness.batches import started
from throughtime.harness.build import Built
from throughtime.harness.clock import Clock
from throughtime.harness.one_batch import learn_finite
from throughtime.measuring.cuda_memory import CudaPeak
from throughtime.numerics.loops import operations_alone
from throughtime.records.record import Measure
from throughtime.spec import RunSpec

BATCHES = 2
"""As in the memory pass, over the same level."""
NAME = "peak_allocator_bytes"
OVER = f"over its level with model and input in memory, while it trains on {BATCHES} batches"
METHOD = f"peak of what the processor's allocator handed out, by torch.profiler, {OVER}"
AT_ONCE, MOST = 3000, 1_000_000
"""Operations after which the profiler's events are read, and within one window at most: each costs some 2 kB."""


class HandedOut:
    """Bytes that the processor's allocator has handed out and not got back since a `with` block began.

    The profiler remembers what it saw handed out while it was off and on again, so that reading its events now and then
    loses nothing, as long as nothing is allocated meanwhile. Of memory from before the block it sees no release.

    Attributes:
        current: as of the last reading.
        peak: the largest value of all moments read.
    """

    def __enter__(self) -> HandedOut:
        self.current = self.peak = 0
        self._start()
        return self

    def read(self) -> None:
        """Take the events so far, and let the profiler forget them."""
        self._stop()
        self._start()

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _start(self) -> None:
        self._profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        self._profiler.start()

    def _stop(self) -> None:
        self._profiler.stop()
        for event in self._profiler.profiler.kineto_results.events():
            if event.name() == "[memory]":
                self.current += event.nbytes()
                self.peak = max(self.peak, self.current)


def measures(spec: RunSpec, built: Built, batch: Batch, operations: int) -> dict[str, Measure]:
    """The peak over the level with model and input in memory, while a fresh rule trains on two batches.

    Args:
        built: fresh: nothing of it was trained.
        operations: of one batch, as the exact count found them.

    Raises:
        DivergedError: the loss is no finite number.
    """
    if spec.device == "cuda":
        with CudaPeak() as device:
            _train(spec, built, batch)
        return {NAME: Measure(value=device.allocated, unit="byte", method=f"max_memory_allocated {OVER}")}
    a_window = max(1, operations // len(built.rule.windows(batch.steps)))
    if a_window > MOST:
        return missing(f"{a_window} operations in a window, more than {MOST}: their events would not fit into memory")
    with operations_alone(), HandedOut() as handed_out:  # as the exact count, which it stands beside
        _train(spec, built, batch, handed_out, max(1, AT_ONCE // a_window))
    return {NAME: Measure(value=handed_out.peak, unit="byte", method=METHOD)}


def missing(reason: str) -> dict[str, Measure]:
    """For the record, where there is none."""
    return {NAME: Measure(value=None, unit="byte", method=METHOD, missing=reason)}


def _train(spec: RunSpec, built: Built, batch: Batch, handed_out: HandedOut | None = None, at_once: int = 1) -> None:
    """Learn the batch twice; read what was handed out before each `at_once`-th window."""
    seen = 0

    def deliver(window: Batch) -> Batch:
        nonlocal seen
        if handed_out is not None and seen % at_once == 0:
            handed_out.read()
        seen += 1
        return window

    update = started(spec, built, built.dataset.steps, Clock())
    for _ in range(BATCHES):
        gc.collect()  # what waits in a reference cycle for the collector is not held by the program
        learn_finite(built, batch, update, deliver)
