"""The passes of a run. Each has a process of its own, because it would disturb the measurements of the others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from throughtime.datasets.task import Task
from throughtime.harness.batches import finite, started
from throughtime.harness.build import Built, build
from throughtime.harness.clock import Clock
from throughtime.harness.device import name_of
from throughtime.harness.one_batch import learn_finite, one_batch
from throughtime.harness.seeds import stream
from throughtime.harness.weights import write_weights
from throughtime.measuring import activity, allocator, exact_memory, floor, process_growth, process_memory
from throughtime.measuring.against_bptt import in_turns
from throughtime.measuring.energy import Energy
from throughtime.measuring.timing import timed
from throughtime.networks.base import Network
from throughtime.passes.trained import Trained
from throughtime.passes.trainer import Trainer, never
from throughtime.records.pass_result import PassResult
from throughtime.records.provenance import machine, versions
from throughtime.records.record import Measure, Outcomes
from throughtime.registry import ALGORITHMS
from throughtime.spec import ComponentSpec, Pass, RunSpec


def train_pass(spec: RunSpec, built: Built, folder: Path, stopping: Callable[[], bool] = never) -> PassResult:
    """Train and test. Another process can resume training from the checkpoint in the folder.

    Raises:
        StoppedError: `stopping` returned true.
    """
    with Energy() as energy:
        trainer = Trainer(spec, built, folder, stopping)
        trained = trainer.train()
    built = trainer.built
    if spec.keep_weights:
        write_weights(folder, built.network.state_dict(), trainer.best_weights)
    if trained.continued:
        energy.joules, energy.missing = None, "training was resumed: energy before the checkpoint is not counted"
    task = built.dataset.task
    measures = {
        **metric_measures(trained, task, built.dataset.size("test")),
        "epochs_trained": Measure(value=trained.epochs, unit="epoch", method=trained.end),
        "loss": Measure(value=trained.loss, unit="1", method="mean of the rule's losses over the last epoch"),
        "firing_rate": Measure(
            value=trained.final.firing_rate,
            unit="spikes per neuron and step",
            method="mean over the test split and all layers, weights of the last epoch",
            missing=None if trained.final.firing_rate is not None else _no_rate(built.network),
        ),
        "training_time": Measure(
            value=trained.seconds, unit="second", method="whole training pass; other runs may share the machine"
        ),
    }
    if zeroed := int(trainer.update.zeroed):
        measures["zeroed_updates"] = Measure(
            value=zeroed,
            unit="update",
            method=f"of {trainer.update.count}, whose gradient clipping set to 0: its norm was infinite in float32",
        )
    for name, seen in trained.observations.items():
        value = finite(seen.value)
        missing = None if value is not None else f"the rule observed {seen.value}"
        measures[name] = Measure(value=value, unit=seen.unit, method=seen.method, missing=missing)
    torch.manual_seed(stream(spec.seed, "evaluation", spec.replicate))
    measures |= trained.aligned | activity.measure(built.network, built.dataset)
    measures["energy"] = energy.measure()
    return PassResult(
        measures=measures,
        metric=task.metric.name,
        phases=trained.phases,
        continued=trained.continued,
        outcomes=Outcomes.packed(trained.final.right) if trained.final.right else None,
    )


def _no_rate(network: Network) -> str:
    """Return the reason why a network has no firing rate."""
    return activity.NO_LAYERS if network.spiking else activity.NO_SPIKES


def metric_measures(trained: Trained, task: Task, sequences: int) -> dict[str, Measure]:
    """Return the task's metrics by each protocol, and the chance level of the headline metric, where it is known.

    The protocols: test split with the weights of the last epoch, or the mean over the last epochs (`mean_of_last`);
    test split with the weights of the epoch best on validation; that epoch's value on validation; and the best value on
    the test split, which is the protocol of many papers' authors.

    Args:
        trained: the outcome of training.
        task: whose metrics they are.
        sequences: in the test split.
    """
    on_test = f"test split ({sequences} sequences)"
    best = f"weights of epoch {trained.best_epoch}, the best on the validation split"
    last = "weights of the last epoch"
    if trained.averaged > 1:
        last = f"mean of the evaluations after the last {trained.averaged} epochs"
    authors = f"best on the test split itself, in epoch {trained.best_test_epoch}: the authors' protocol"
    protocols = {
        "": (trained.final.metrics, f"{on_test}, {last}"),
        "_best_validation": (trained.best.metrics, f"test split, {best}"),
        "_validation": (trained.validation, f"validation split, {best}"),
        "_best_test": (trained.best_test, f"{on_test}, {authors}"),
    }
    measures = {}
    for metric in task.metrics:
        for end, (values, method) in protocols.items():
            # No epoch is the best if the headline metric is never a number.
            computed = values.get(metric.name, math.nan)
            value = finite(computed)
            missing = None if value is not None else f"the meter computed {computed}"
            measures[metric.name + end] = Measure(
                value=value,
                unit=metric.unit,
                method=method,
                missing=missing,
                better="higher" if metric.higher_is_better else "lower",
            )
    if (chance := task.metric.chance) is not None:
        method = "the metric of an untrained network"
        measures["chance"] = Measure(value=chance, unit=task.metric.unit, method=method)
    return measures


def time_pass(spec: RunSpec, built: Built, folder: Path) -> PassResult:
    """Time training on one batch repeatedly, after a warm-up and with the machine to itself; compute the floor."""
    clock = Clock()
    batch, update = one_batch(spec, built), started(spec, built, built.dataset.steps, clock)
    timing = timed(lambda: learn_finite(built, batch, update), clock)
    steps, sequences = batch.steps, batch.sequences
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
    measures["compile_time"] = Measure(
        value=None, unit="second", method="before the warm-up", missing="nothing is compiled"
    )
    measures |= floor.floor_measures(built.rule, built.network, spec.training, sequences, steps, median)
    return PassResult(measures=measures, contended=timing.contended)


def ratio_pass(spec: RunSpec, built: Built, folder: Path) -> PassResult:
    """Time training on one batch relative to BPTT's, both in turns in this process, with the machine to itself."""
    method = "median over turns of the rule and BPTT on one batch, exclusive"

    def ratio(value: float | None, missing: str | None = None, samples: Sequence[float] = ()) -> dict[str, Measure]:
        measure = Measure(value=value, unit="1", method=method, missing=missing, samples=list(samples))
        return {"time_over_bptt": measure}

    if spec.rule.name == "bptt":
        return PassResult(measures=ratio(None, "BPTT is the reference"))
    bptt = ComponentSpec(name="bptt", options=ALGORITHMS["bptt"].checked({}), label="bptt")
    other = build(spec.model_copy(update={"rule": bptt}))
    if reason := other.rule.supports(other.network, other.dataset.task, other.dataset.steps):
        return PassResult(measures=ratio(None, f"BPTT: {reason}"))
    batch = one_batch(spec, built)
    updates = [started(spec, setup, setup.dataset.steps, Clock()) for setup in (built, other)]
    turns = in_turns(
        lambda: learn_finite(built, batch, updates[0]),
        lambda: learn_finite(other, batch, updates[1]),
    )
    return PassResult(measures=ratio(turns.median, samples=turns.ratios), contended=turns.contended)


def memory_pass(spec: RunSpec, built: Built, folder: Path) -> PassResult:
    """Measure the growth of process and device memory while the rule trains on two batches."""
    return PassResult(measures=process_growth.growth_measures(spec, built))


def bytes_pass(spec: RunSpec, built: Built, folder: Path) -> PassResult:
    """Count the exact bytes of live tensors on a batch, evaluated and learned, by owner; then measure the allocator's
    peak."""
    batch = one_batch(spec, built)
    evaluated = exact_memory.evaluation_measure(built, batch)
    try:
        memory = exact_memory.exact_memory(spec, built, batch)
    except exact_memory.NotRepeatableError as error:
        learned = exact_memory.live_byte_measures(None, str(error)) | allocator.missing_measure(str(error))
    else:
        handed_out = allocator.allocator_measures(spec, build(spec), batch, memory.operations)
        learned = exact_memory.live_byte_measures(memory) | handed_out
    return PassResult(measures=evaluated | learned)


MEASURING: dict[Pass, Callable[[RunSpec, Built, Path], PassResult]] = {
    "time": time_pass,
    "ratio": ratio_pass,
    "memory": memory_pass,
    "bytes": bytes_pass,
}


def run_pass(name: Pass, spec: RunSpec, folder: Path, stopping: Callable[[], bool] = never) -> PassResult:
    """Build the components of a spec and run one pass.

    Raises:
        StoppedError: the pass is `train`, and `stopping` returned true.
    """
    torch.set_num_threads(spec.threads)
    # Surrogates underflow far from the threshold, and arithmetic with denormals is ten times slower.
    flushed = torch.set_flush_denormal(True)
    # Page faults take up to a quarter of training time; but memory that the process keeps would hide its later growth.
    keeps_freed = name in ("train", "time", "ratio") and process_memory.keep_freed()
    built = build(spec)
    result = train_pass(spec, built, folder, stopping) if name == "train" else MEASURING[name](spec, built, folder)
    remarks = (built.rule.remark(built.network), built.dataset.remark())
    environment = {
        "remark": "; ".join(filter(None, remarks)) or None,
        "dataset_sha256": built.dataset.sha256(),
        "machine": machine(spec.threads, flushed, name_of(spec.device), keeps_freed),
        "versions": versions(),
    }
    return result.model_copy(update=environment)
