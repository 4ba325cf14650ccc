"""Growth of the process's memory, and of a CUDA device's memory, while a rule trains."""

from __future__ import annotations

from contextlib import ExitStack

from torch import Tensor

from throughtime.datasets.batch import Batch
from throughtime.harness.batches import started
from throughtime.harness.build import Built, build
from throughtime.harness.clock import Clock
from throughtime.harness.one_batch import learn_finite, one_batch
from throughtime.measuring import process_memory
from throughtime.measuring.allocator import BATCHES
from throughtime.measuring.cuda_memory import CudaPeak
from throughtime.measuring.process_memory import KernelPeak, SampledPeak
from throughtime.numerics.spike_product import SHORT
from throughtime.numerics.trees import mapped, nbytes
from throughtime.records.record import Measure
from throughtime.spec import RunSpec

WHEN = f"with model and input batch loaded, while it trains on {BATCHES} batches"


def growth_measures(spec: RunSpec, built: Built, process: KernelPeak | SampledPeak | None = None) -> dict[str, Measure]:
    """Measure the peak of the process, and of the device, over the level with model and input in memory.

    Args:
        spec: the run.
        built: its components; the measurement trains them.
        process: measures the process's peak; None: the most exact method that this system supports.

    Raises:
        DivergedError: the loss is infinite or NaN.
    """
    batch = one_batch(spec, built)
    _warm_up(spec, batch)
    process_memory.give_back_freed()
    device = CudaPeak() if spec.device == "cuda" else None
    process = process or process_memory.process_peak()
    with ExitStack() as measuring:
        if device:
            measuring.enter_context(device)
        measuring.enter_context(process)
        update = started(spec, built, built.dataset.steps, Clock())
        for _ in range(BATCHES):
            learn_finite(built, batch, update)

    def bytes_(value: int, method: str) -> Measure:
        return Measure(value=value, unit="byte", method=method)

    measures = {
        "peak_process_bytes": bytes_(process.growth, f"{process.method} {WHEN}"),
        "level_process_bytes": bytes_(process.level, "resident size before the first batch"),
        "input_bytes": bytes_(nbytes(batch.x), "one batch of inputs, counted"),
    }
    if device:
        measures |= {
            "peak_cuda_allocated_bytes": bytes_(device.allocated, f"max_memory_allocated over its level {WHEN}"),
            "peak_cuda_reserved_bytes": bytes_(device.reserved, f"max_memory_reserved over its level {WHEN}"),
            "level_cuda_bytes": bytes_(device.level, "memory_allocated before the first batch"),
        }
    return measures


def _warm_up(spec: RunSpec, batch: Batch) -> None:
    """Train a copy on little data, so that code and library buffers that every training loads do not count."""
    twin = build(spec)
    steps = enough_steps(twin, batch.steps)
    few = mapped(Tensor.contiguous, batch.first(2).window(0, steps))
    learn_finite(twin, few, started(spec, twin, steps, Clock()))


def enough_steps(built: Built, steps: int) -> int:
    """Return the fewest steps that the rule supports and for which it takes the same code path.

    Compiled loops are loaded at their first call, and the first one loads the compiler; which loops run depends on
    whether a window has 1, SHORT or more steps.
    """
    rule, network, task = built.rule, built.network, built.dataset.task
    longest = min(SHORT, rule.window(steps))
    lengths = (few for few in range(SHORT, steps) if rule.window(few) >= longest)
    return next((few for few in lengths if rule.supports(network, task, few) is None), steps)
