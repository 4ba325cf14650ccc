"""The three passes of a run, each in a process of its own because each would disturb the others."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pydantic
import torch

from throughtime import activity, exact_memory, floor, process_memory
from throughtime.build import Built, build
from throughtime.clock import Clock
from throughtime.datasets.base import Batch
from throughtime.energy import Energy
from throughtime.record import Failure, Measure, Status
from throughtime.seeds import stream
from throughtime.spec import Pass, RunSpec
from throughtime.timing import timed
from throughtime.training import DivergedError, Updater, finite, learn_batch, started, train


class PassResult(pydantic.BaseModel):
    """What a pass leaves for the runner: written by the child as `<pass>.json`, whole or not at all."""

    status: Status = "ok"
    failure: Failure | None = None
    measures: dict[str, Measure] = {}
    metric: str | None = None
    phases: dict[str, float] = {}
    seconds: float = 0.0
    """Wall time of the pass, from the start of its process to the end of its work."""
    denormals_flushed: bool | None = None
    contended: bool | None = None
    dataset_sha256: str | None = None
    remark: str | None = None
    """What the rule has tables say beside these numbers."""


def train_pass(spec: RunSpec, built: Built, folder: Path) -> PassResult:
    """Train and test; the curve grows in `curve.jsonl` line by line, so that a kill loses no epoch."""
    start = time.perf_counter()
    with (folder / "curve.jsonl").open("w", encoding="utf-8") as curve, Energy() as energy:
        trained = train(spec, built, lambda row: _append(curve, row))
    seconds = time.perf_counter() - start
    task = built.dataset.task
    unit, n = task.unit, built.dataset.size("test")
    measures = {
        task.metric: Measure(
            value=trained.final.metric,
            unit=unit,
            method=f"test split ({n} sequences), weights of the last epoch",
        ),
        f"{task.metric}_best_validation": Measure(
            value=trained.best.metric,
            unit=unit,
            method=f"test split, weights of epoch {trained.best_epoch}, the best on the validation split",
        ),
        "chance": Measure(value=task.chance, unit=unit, method="the metric of a network that has learnt nothing"),
        "loss": Measure(value=trained.loss, unit="1", method="mean of the rule's losses over the last epoch"),
        "firing_rate": Measure(
            value=trained.final.firing_rate,
            unit="spikes per neuron and step",
            method="mean over the test split and all layers, weights of the last epoch",
            missing="these cells do not spike" if trained.final.firing_rate is None else None,
        ),
        "training_time": Measure(
            value=seconds, unit="second", method="whole training pass; other runs may share the machine"
        ),
    }
    for name, seen in trained.observations.items():
        value = finite(seen.value)
        missing = None if value is not None else f"the rule observed {seen.value}"
        measures[name] = Measure(value=value, unit=seen.unit, method=seen.method, missing=missing)
    torch.manual_seed(stream(spec.seed, "evaluation", spec.replicate))
    measures |= trained.aligned | activity.measure(built.network, built.dataset)
    measures["energy"] = energy.measure()
    return PassResult(
        measures=measures, metric=task.metric, phases=trained.phases, dataset_sha256=built.dataset.sha256()
    )


def time_pass(spec: RunSpec, built: Built, folder: Path) -> PassResult:
    """Time training on one batch again and again, warmed up, with the machine to itself; then what it could cost."""
    clock = Clock()
    batch, update = _one_batch(spec, built), started(spec, built, built.dataset.steps, clock)
    timing = timed(lambda: _learn_finite(built, batch, update), clock)
    steps, sequences = batch.x.shape[:2]
    warming = "; it still got faster" if timing.still_warming else ""
    method = (
        f"median of {len(timing.samples)} batches of {sequences} sequences x {steps} steps after {len(timing.warm_up)} "
        f"of warm-up{warming}, {spec.threads} thread(s), exclusive"
    )
    per_sequence = [sample / sequences for sample in timing.samples]
    median, a_step = timing.median / sequences, "second a sequence and step"

    def measure(value: float, unit: str, what: str = method) -> Measure:
        return Measure(value=value, unit=unit, method=what)

    measures = {
        "wall_time": Measure(value=median, unit="second a sequence", method=method, samples=per_sequence),
        "wall_time_low": measure(timing.low / sequences, "second a sequence", "lower quartile of the same repeats"),
        "wall_time_high": measure(timing.high / sequences, "second a sequence", "upper quartile of the same repeats"),
        "wall_time_step": measure(median / steps, a_step),
        "wall_time_drift": measure(timing.drift, "1", "p of Mann and Kendall that the repeats do not get faster"),
    }
    for phase, seconds in timing.phases.items():
        what = f"of each repeat spent in {phase}; {method}"
        measures[f"wall_time.{phase}"] = measure(statistics.median(seconds) / sequences, "second a sequence", what)
    measures |= floor.measures(built.rule, built.network, spec.training, sequences, steps, median)
    return PassResult(measures=measures, contended=timing.contended)


def memory_pass(spec: RunSpec, built: Built, folder: Path) -> PassResult:
    """Growth of the process's peak while it trains on two batches, over the level with model and input in memory."""
    unit, method = "byte", "VmHWM after a reset, over VmRSS with model and input batch loaded; two batches"
    reason = process_memory.available()
    if reason:
        return PassResult(
            measures={"peak_process_bytes": Measure(value=None, unit=unit, method=method, missing=reason)}
        )
    batch = _one_batch(spec, built)
    # Code and library buffers that any training touches must not count: warm up on a twin that is then thrown away.
    twin = build(spec)
    few = Batch(batch.x[:2, :2].contiguous(), batch.target[:2])
    _learn_finite(twin, few, started(spec, twin, 2, Clock()))
    del twin, few
    process_memory.give_back_freed()
    process_memory.reset_peak()
    level = process_memory.resident_bytes()
    update = started(spec, built, built.dataset.steps, Clock())
    for _ in range(2):
        _learn_finite(built, batch, update)
    growth = process_memory.peak_bytes() - level
    return PassResult(
        measures={
            "peak_process_bytes": Measure(value=growth, unit=unit, method=method),
            "level_process_bytes": Measure(value=level, unit=unit, method="VmRSS before the first batch"),
            "input_bytes": Measure(
                value=batch.x.numel() * batch.x.element_size(),
                unit=unit,
                method="one batch of inputs, counted",
            ),
        }
    )


def bytes_pass(spec: RunSpec, built: Built, folder: Path) -> PassResult:
    """Count the exact bytes of live tensors while it trains on a batch, by owner."""
    try:
        memory, missing = exact_memory.exact_memory(spec, built, _one_batch(spec, built)), None
    except exact_memory.NotRepeatableError as error:
        memory, missing = None, str(error)
    return PassResult(measures=exact_memory.measures(memory, missing))


TAKEN: dict[Pass, Callable[[RunSpec, Built, Path], PassResult]] = {
    "train": train_pass,
    "time": time_pass,
    "memory": memory_pass,
    "bytes": bytes_pass,
}


def run_pass(name: Pass, spec: RunSpec, folder: Path) -> PassResult:
    """Build what the spec names and run one pass on it."""
    torch.set_num_threads(spec.threads)
    # Surrogates underflow far from the threshold, and arithmetic on denormals is ten times slower.
    flushed = torch.set_flush_denormal(True)
    built = build(spec)
    result = TAKEN[name](spec, built, folder)
    remark = built.rule.remark(built.network)
    return result.model_copy(update={"denormals_flushed": flushed, "remark": remark})


def _one_batch(spec: RunSpec, built: Built) -> Batch:
    order = torch.Generator().manual_seed(stream(spec.seed, "data order", spec.replicate))
    return next(built.dataset.batches("train", spec.training.batch, order))


def _learn_finite(built: Built, batch: Batch, update: Updater) -> None:
    loss = learn_batch(built.rule, batch, update)
    if not torch.isfinite(loss):
        raise DivergedError(f"loss is {float(loss)} at update {update.count}")


def _append(file: TextIO, row: dict[str, float]) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()
