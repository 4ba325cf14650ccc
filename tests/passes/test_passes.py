"""The timing and memory passes: the composition of their numbers."""

from __future__ import annotations

import errno
import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.harness.test_training import spec
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eligibility.decolle import DECOLLE
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.errors import DivergedError
from throughtime.harness.build import build
from throughtime.measuring import floor, process_growth, process_memory
from throughtime.measuring.process_growth import enough_steps, growth_measures
from throughtime.measuring.timing import Timing, spread
from throughtime.numerics.spike_product import SHORT
from throughtime.passes import passes
from throughtime.records.files import DISK_FULL, LOG
from throughtime.records.pass_result import PassResult


def test_wall_time_is_the_median_batch_by_sequence_and_by_step(monkeypatch, tmp_path):
    # The clock moves by 2 s at each look. A batch of 100 sequences x 8 steps is looked at four times inside: as
    # learning begins and ends, and as its one update does. It takes 10 s, 2 of them for the update. The time for
    # repeats is over at once, so that the least number of batches, 5, is timed.
    clock = itertools.count(0.0, 2.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    given = []
    monkeypatch.setattr(floor, "floor_measures", lambda *what: given.append(what[2:]) or {})
    run = spec()
    result = passes.time_pass(run, build(run), tmp_path)
    measures = result.measures
    assert measures["wall_time"].samples == pytest.approx([10 / 100] * 5)
    assert measures["wall_time"].value == measures["wall_time_low"].value == pytest.approx(10 / 100)
    assert measures["wall_time_step"].value == pytest.approx(10 / 100 / 8)
    assert measures["wall_time.update"].value == pytest.approx(2 / 100)
    assert measures["wall_time.learn"].value == pytest.approx(4 / 100)
    assert given == [(run.training, 100, 8, measures["wall_time"].value)]


def test_memory_grows_by_what_the_rule_keeps(tmp_path):
    """BPTT over 8 steps of 4000 neurons keeps the states v and z of 100 sequences, and what autograd needs besides."""
    run = spec()
    network = run.network.model_copy(update={"options": {**run.network.options, "hidden": [4000]}})
    run = run.model_copy(update={"network": network})
    measures = passes.memory_pass(run, build(run), tmp_path).measures
    kept = 8 * 2 * 100 * 4000 * torch.float32.itemsize
    weights = 4000 * 4000 * torch.float32.itemsize
    # At least the gradient and Adam's two moments; at most also one step's own gradient and its sum, and a dozen
    # tensors a step. The process as a whole, which must not be in it, is larger than that.
    assert kept + 3 * weights < measures["peak_process_bytes"].value < 6 * kept + 5 * weights
    assert measures["level_process_bytes"].value > 6 * kept + 5 * weights
    assert measures["input_bytes"].value == 8 * 100 * 8 * 4


class Grown:
    """The size of a process that takes 1000 bytes, and 100 more for each batch that a rule begins."""

    method = "counted by hand"

    def __init__(self, begun: list[int]) -> None:
        self.begun = begun

    def size(self) -> int:
        return 1000 + 100 * len(self.begun)

    def __enter__(self) -> Grown:
        self.level = self.size()
        return self

    def __exit__(self, *error: object) -> None:
        self.growth = self.size() - self.level


def test_the_level_is_that_before_the_first_batch_and_the_growth_that_over_two(monkeypatch):
    """A copy that is trained on two sequences before the measurement loads the code."""
    run, begun, learnt = spec(), [], []
    built, learn = build(run), process_growth.learn_finite
    monkeypatch.setattr(
        process_growth,
        "learn_finite",
        lambda own, batch, update: (learnt.append((own is built, batch.sequences)), learn(own, batch, update)),
    )
    begin = built.rule.begin
    built.rule.begin = lambda batch, update: (begun.append(batch), begin(batch, update))
    result = growth_measures(run, built, Grown(begun))
    assert result["level_process_bytes"].value == 1000
    assert result["peak_process_bytes"].value == 2 * 100
    assert result["input_bytes"].value == 8 * 100 * 8 * 4, "8 steps of 100 sequences of 8 inputs, without targets"
    assert learnt == [(False, 2), (True, 100), (True, 100)]


def test_a_phase_takes_the_median_of_its_repeats(monkeypatch, tmp_path):
    """In seconds a batch of 100 sequences of 8 steps; smallest, mean and largest are other numbers."""
    monkeypatch.setattr(floor, "floor_measures", lambda *what: {})
    phases = {"learn": [3.0, 1.0, 8.0, 2.0, 9.0], "update": [0.5, 0.1, 0.7, 0.2, 0.9]}
    samples = [3.5, 1.1, 8.7, 2.2, 9.9]
    timing = Timing(samples, *spread(samples), [], 1.0, False, phases, False)
    monkeypatch.setattr(passes, "timed", lambda once, clock: timing)
    run = spec()
    measures = passes.time_pass(run, build(run), tmp_path).measures
    assert measures["wall_time.learn"].value == pytest.approx(3.0 / 100)
    assert measures["wall_time.update"].value == pytest.approx(0.5 / 100)
    assert measures["wall_time"].value == pytest.approx(3.5 / 100)
    assert measures["wall_time_low"].value == pytest.approx(2.2 / 100)
    assert measures["wall_time_high"].value == pytest.approx(8.7 / 100)


@pytest.mark.parametrize(("name", "keeps"), {"train": True, "time": True, "memory": False, "bytes": False}.items())
def test_freed_memory_is_kept_where_the_process_is_not_measured(monkeypatch, tmp_path, name, keeps):
    called = []
    monkeypatch.setattr(process_memory, "keep_freed", lambda: called.append(name) or True)
    monkeypatch.setattr(passes, "train_pass", lambda *run: PassResult(measures={}))
    monkeypatch.setitem(passes.MEASURING, name, lambda *run: PassResult(measures={}))
    result = passes.run_pass(name, spec(), tmp_path)
    assert called == [name] * keeps and result.machine["freed_memory_kept"] is keeps


def test_a_loss_that_is_no_number_ends_a_measuring_pass(tmp_path):
    run = spec()
    built = build(run)
    with torch.no_grad():
        built.network.readout.linear.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match="loss is nan"):
        passes.time_pass(run, built, tmp_path)


@pytest.mark.parametrize(
    ("rule", "steps", "enough"),
    [
        (BPTT(), 64, SHORT),
        (TruncatedBPTT(window=10), 64, SHORT),
        (TruncatedBPTT(window=1), 64, SHORT),
        (TruncatedBPTT(window=3), 64, SHORT),
        (FPTT(), 64, SHORT),
        (FPTT(parts=10), 64, 31),
        (FPTT(parts=10), 20, 11),
        (FPTT(parts=2), 3, 3),
        (DECOLLE(), 64, SHORT),
        (DECOLLE(burn_in=SHORT), 64, SHORT + 1),
    ],
)
def test_what_warms_up_has_windows_as_long_as_loops_ask_for(rule, steps, enough):
    assert enough_steps(build(spec())._replace(rule=rule), steps) == enough
    assert min(SHORT, rule.window(enough)) == min(SHORT, rule.window(steps))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_pass_runs_on_the_threads_of_its_spec_and_flushes_denormals(threads, monkeypatch, tmp_path):
    """Seen from inside: what the record says of them must be so."""
    seen = []

    def look(run, built, folder, stopping):
        seen.append((torch.get_num_threads(), float(torch.tensor([1e-39]) * 0.5)))
        return PassResult()

    monkeypatch.setattr(passes, "train_pass", look)
    before = torch.get_num_threads()
    try:
        result = passes.run_pass("train", spec().model_copy(update={"threads": threads}), tmp_path)
    finally:
        torch.set_num_threads(before)
    assert seen == [(threads, 0.0)]
    assert result.machine["threads"] == threads and result.machine["denormals_flushed"] is True


CHILD = """
import json, sys
from pathlib import Path
from throughtime.passes.child import main

main("train", json.loads(sys.argv[1]), {}, Path(sys.argv[2]), sys.argv[3:])
"""
FULL = """
import os

full = os.open("/dev/full", os.O_WRONLY)
os.dup2(full, 1)
os.dup2(full, 2)
raise ValueError
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_log_on_a_full_disk_ends_the_child_with_the_code_of_a_full_disk(from_the_start, tmp_path):
    plugin = tmp_path / "full.py"
    plugin.write_text(FULL)
    if from_the_start:
        (tmp_path / LOG).symlink_to("/dev/full")
    words = [sys.executable, "-c", CHILD, spec().model_dump_json(), str(tmp_path), str(plugin)]
    assert subprocess.run(words, timeout=120).returncode == DISK_FULL[errno.ENOSPC]
