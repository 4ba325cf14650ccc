"""The device of a run: refusal of a missing one, transfer of batches, waiting, memory; and runs on a real one."""

from __future__ import annotations

import io

import pytest
import torch

from tests.harness.test_training import component, spec
from tests.measuring.test_exact_memory import spec as small
from throughtime.datasets.adding import Adding
from throughtime.errors import UsageError
from throughtime.harness import clock as clock_module
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.device import name_of, on_device, require, synchronise
from throughtime.harness.one_batch import one_batch
from throughtime.measuring import floor, process_growth
from throughtime.measuring.allocator import allocator_measures as handed_out
from throughtime.measuring.cuda_memory import CudaPeak
from throughtime.measuring.exact_memory import exact_memory
from throughtime.numerics.trees import tensors
from throughtime.passes.passes import run_pass
from throughtime.records.store import Store
from throughtime.registry import ALGORITHMS, NEURONS
from throughtime.running.engines.local import LocalEngine
from throughtime.running.limits import Limits
from throughtime.running.plan import plan
from throughtime.running.progress import PlainProgress
from throughtime.running.runner import Runner

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="not run here: no CUDA device")


def on(run, device):
    return run.model_copy(update={"device": device})


@no_cuda
def test_a_device_that_is_not_here_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(UsageError, match=r"device cuda: not available, PyTorch .*\n  set `device: cpu`"):
        build(on(spec(), "cuda"))
    store = Store(tmp_path)
    planned = plan([on(spec(), "cuda")], store)  # a machine that submits to a cluster needs no GPU
    engine, progress = LocalEngine([], Limits(), 1, print), PlainProgress(io.StringIO())
    with pytest.raises(UsageError, match="device cuda: not available"):
        Runner(store, ["throughtime"], engine, progress).run(planned, planned)
    assert store.records() == []


def test_the_reason_tells_a_build_without_cuda_from_a_machine_without(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for version, why in ((None, "PyTorch is built without CUDA"), ("12.8", "PyTorch finds no CUDA device")):
        monkeypatch.setattr(torch.version, "cuda", version)
        with pytest.raises(UsageError, match=why):
            require("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require("cuda")
    assert name_of("cpu") == "cpu"


def test_batches_arrive_on_the_device_and_the_dataset_is_left_as_it_was():
    dataset = Adding.tiny()
    assert on_device(dataset, "cpu") is dataset
    moved = on_device(dataset, "meta")
    assert (moved.steps, moved.inputs, moved.size("train"), type(moved)) == (12, 2, 36, Adding)
    for split in ("train", "validation", "test"):
        batches = list(moved.batches(split, 8))
        assert {t.device.type for batch in batches for t in tensors(batch)} == {"meta"}
        assert [b.x.shape for b in batches] == [b.x.shape for b in dataset.batches(split, 8)]
    assert next(dataset.batches("train", 8)).x.device.type == "cpu"


def test_a_phase_begins_and_ends_when_the_device_is_done(monkeypatch):
    now = iter([1.0, 2.0, 5.0, 9.0])
    told = []
    monkeypatch.setattr(clock_module, "synchronise", lambda: told.append("waited"))
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: told.append("looked") or next(now))
    with Clock().phase("learn"):
        told.append("worked")
    assert told == ["waited", "looked", "worked", "waited", "looked"]


def test_only_a_device_that_is_used_is_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(True))
    for used in (False, True):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda used=used: used)
        synchronise()
    assert waited == [True]


class Statistics:
    """A caching allocator by hand: so much is allocated and reserved, and so much at most since the last reset."""

    def __init__(self, monkeypatch) -> None:
        self.allocated, self.reserved, self.most_allocated, self.most_reserved = 1000, 4096, 9000, 9216
        self.asked: list[str] = []
        for name in ("synchronize", "empty_cache", "reset_peak_memory_stats"):
            monkeypatch.setattr(torch.cuda, name, lambda name=name: getattr(self, name)())
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: self.allocated)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: self.reserved)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: self.most_allocated)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: self.most_reserved)

    def synchronize(self) -> None:
        self.asked.append("synchronize")

    def empty_cache(self) -> None:
        self.asked.append("empty_cache")
        self.reserved = 2048

    def reset_peak_memory_stats(self) -> None:
        self.asked.append("reset")
        self.most_allocated, self.most_reserved = self.allocated, self.reserved


def test_growth_of_a_device_is_over_its_level_after_the_cache_is_given_back(monkeypatch):
    statistics = Statistics(monkeypatch)
    with CudaPeak() as peak:
        statistics.most_allocated, statistics.most_reserved = 1512, 6144
    assert (peak.level, peak.allocated, peak.reserved) == (1000, 512, 4096)
    assert statistics.asked == ["synchronize", "empty_cache", "reset", "synchronize"]


def test_the_memory_pass_of_a_device_tells_of_it_beside_the_process(monkeypatch):
    Statistics(monkeypatch)
    monkeypatch.setattr(process_growth, "build", lambda run: build(on(run, "cpu")))
    result = process_growth.growth_measures(on(spec(), "cuda"), build(spec()))
    assert result["peak_cuda_allocated_bytes"].value == 0 and result["level_cuda_bytes"].value == 1000
    assert {m.unit for m in result.values()} == {"byte"} and result["peak_process_bytes"].value is not None


def test_the_floor_of_the_processor_is_not_that_of_a_device():
    built = build(spec())
    result = floor.floor_measures(built.rule, built.network.to("meta"), spec().training, 100, 8, 1.0)
    assert {m.missing for m in result.values()} == {"the yardstick measures the processor, but the run used meta"}
    assert {"floor_time", "time_over_floor", "matmul_rate", "copy_bandwidth"} == set(result)


def test_what_is_drawn_for_a_device_is_drawn_on_the_processor():
    """A run starts from the same initial states and feedback on every device: the same stream, advanced as far."""
    neuron = NEURONS["ltc_smnist"].factory(5)
    built = build(spec("eprop"))
    rule = ALGORITHMS["eprop"].factory(feedback="random")

    def after(device):
        torch.manual_seed(3)
        neuron.initial_state(4, torch.empty(0, device=device))
        rule.start(built.network.to(device), built.dataset.task, 8)
        return torch.rand(3).tolist()

    assert after("cpu") == after("meta") != torch.rand(3).tolist()


# On a real device


@on_cuda
@pytest.mark.parametrize("name", ["train", "time", "memory", "bytes"])
def test_every_pass_runs_on_cuda(name, tmp_path):
    result = run_pass(name, on(spec(), "cuda"), tmp_path)
    assert result.machine["device"] == torch.cuda.get_device_name()
    if name == "memory":
        measures = result.measures
        assert 0 < measures["peak_cuda_allocated_bytes"].value <= measures["peak_cuda_reserved_bytes"].value
        assert measures["level_cuda_bytes"].value > 0


@on_cuda
@pytest.mark.parametrize("neuron", ["lif", "ltc_smnist"])
@pytest.mark.parametrize("rule", ["bptt", "tbptt", "fptt", "eprop", "diagonal_rtrl"])
def test_the_same_run_on_both_devices_begins_with_the_same_loss(rule, neuron):
    from throughtime.harness.batches import learn_batch, started

    run = spec(rule).model_copy(update={"neuron": component(NEURONS, neuron)})

    def loss(device):
        built = build(on(run, device))
        update = started(run, built, built.dataset.steps, Clock())
        return float(learn_batch(built.rule, one_batch(on(run, device), built), update))

    assert loss("cuda") == pytest.approx(loss("cpu"), rel=0.02)  # updates follow each other, and spikes flip


@on_cuda
@pytest.mark.parametrize("rule", ["bptt", "fptt", "eprop"])
def test_exact_bytes_on_cuda_are_the_allocators_but_for_its_rounding(rule):
    run = on(small(rule, steps=20, hidden=64), "cuda")
    built = build(run)
    batch = one_batch(run, built)
    memory = exact_memory(run, built, batch)
    exact = memory.peak - memory.owned["input"] - memory.owned["parameters"]
    (allocated,) = handed_out(run, build(run), batch, memory.operations).values()
    # Each block is rounded up to 512 bytes; cuBLAS takes its workspace from the allocator, once.
    assert exact <= allocated.value < 1.5 * exact + 32 * 2**20
