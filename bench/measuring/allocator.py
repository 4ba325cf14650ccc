"""Peak of the memory that PyTorch's allocator hands out: an independent check of the exact count.

On the CPU it comes from the memory events of `torch.profiler`, one for each allocation and release; on a CUDA device
from the statistics of the caching allocator. In contrast to the exact count it includes temporaries inside kernels, the
8 bytes of a Python number that autograd saves, and storages allocated without the dispatcher. It does not include
memory that a library allocates by itself, such as packing buffers of matrix products, or rounding by the C library.
"""

from __future__ import annotations

import gc
import time
from typing import Any

from torch.profiler import ProfilerActivity, profile

from throughtime.datasets.batch import Batch
from throughtime.harness.batches import started
from throughtime.harness.build import Built
from throughtime.harness.clock import Clock
from throughtime.harness.one_batch import learn_finite
from throughtime.measuring.cuda_memory import CudaPeak
from throughtime.numerics.loops import without_compiled_loops
from throughtime.records.record import Measure
from throughtime.spec import RunSpec

BATCHES = 2
"""Number of batches, as in the memory pass. The optimiser's state and other lasting memory exist from the first on."""
NAME = "peak_allocator_bytes"
OVER = f"over its level with model and input in memory, while it trains on {BATCHES} batches"
METHOD = f"peak of what the processor's allocator handed out, by torch.profiler, {OVER}"
OPERATIONS_AT_ONCE, MOST_OPERATIONS = 3000, 1_000_000
"""Operations after which the profiler's events are read, and largest number in one window; each costs about 2 kB."""
JUMP_SECONDS, DRIFT = 0.001, 0.001
"""Smallest jump of the clock of the day that is noticed, and twice the rate at which the kernel may adjust it."""


class HandedOut:
    """Context manager that counts the bytes allocated inside the block and not yet released, on the CPU.

    The profiler recognises its allocations after it was stopped and started again, so reading its events from time to
    time loses nothing, provided that nothing is allocated in between. Releases of memory from before the block do not
    count. It drops events beside the time of its window, so that nothing is known if the clock is set meanwhile.

    Attributes:
        current: bytes at the last reading.
        peak: largest number of bytes after any event.
        clock_was_set: whether the clock of the day was set.
    """

    def __enter__(self) -> HandedOut:
        self.current = self.peak = 0
        self.clock_was_set = False
        self._start()
        return self

    def read(self) -> None:
        """Process the events so far, and free their memory."""
        self._stop()
        self._start()

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _start(self) -> None:
        self._profiler = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        self._profiler.start()
        self._began, self._offset = time.monotonic(), time.time() - time.monotonic()

    def _stop(self) -> None:
        drift = time.time() - time.monotonic() - self._offset
        self.clock_was_set |= abs(drift) > JUMP_SECONDS + DRIFT * (time.monotonic() - self._began)
        self._profiler.stop()
        profiler: Any = self._profiler.profiler  # the events have no public type
        for event in profiler.kineto_results.events():
            if event.name() == "[memory]":
                self.current += event.nbytes()
                self.peak = max(self.peak, self.current)


def allocator_measures(spec: RunSpec, built: Built, batch: Batch, operations: int) -> dict[str, Measure]:
    """Measure the peak over the level with model and input in memory, while a fresh rule trains on two batches.

    Args:
        spec: the run.
        built: untrained components.
        batch: the batch to train on.
        operations: number of operations in one batch, from the exact count.

    Raises:
        DivergedError: the loss is infinite or NaN.
    """
    if spec.device == "cuda":
        with CudaPeak() as device:
            _train(spec, built, batch)
        return {NAME: Measure(value=device.allocated, unit="byte", method=f"max_memory_allocated {OVER}")}
    a_window = max(1, operations // len(built.rule.windows(batch.steps)))
    if a_window > MOST_OPERATIONS:
        return missing_measure(
            f"{a_window} operations in a window, more than {MOST_OPERATIONS}: too many events for memory"
        )
    with without_compiled_loops(), HandedOut() as handed_out:  # as in the exact count, for comparison
        _train(spec, built, batch, handed_out, max(1, OPERATIONS_AT_ONCE // a_window))
    if handed_out.clock_was_set:
        return missing_measure("the clock of the day was set while the profiler ran")
    return {NAME: Measure(value=handed_out.peak, unit="byte", method=METHOD)}


def missing_measure(reason: str) -> dict[str, Measure]:
    """Return the measure without a value, and the reason."""
    return {NAME: Measure(value=None, unit="byte", method=METHOD, missing=reason)}


def _train(spec: RunSpec, built: Built, batch: Batch, handed_out: HandedOut | None = None, at_once: int = 1) -> None:
    """Learn the batch twice; read the allocator's events before each `at_once`-th window."""
    seen = 0

    def deliver(window: Batch) -> Batch:
        nonlocal seen
        if handed_out is not None and seen % at_once == 0:
            handed_out.read()
        seen += 1
        return window

    update = started(spec, built, built.dataset.steps, Clock())
    for _ in range(BATCHES):
        gc.collect()  # reference cycles that wait for the collector are not part of the program's memory
        learn_finite(built, batch, update, deliver)
