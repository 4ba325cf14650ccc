"""The timing and memory passes: what their numbers are made of."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.test_training import spec
from throughtime import passes
from throughtime.build import build


def test_wall_time_is_the_median_batch_by_sequence_and_by_step(monkeypatch, tmp_path):
    # The clock moves by 2 s at each look. A batch of 100 sequences x 8 steps has one update, which looks twice itself:
    # it takes 6 s. TIMED_SECONDS are over at once, so that the least number of batches, 5, is timed.
    clock = itertools.count(0.0, 2.0)
    monkeypatch.setattr(passes.time, "perf_counter", lambda: next(clock))
    run = spec()
    measures = passes.time_pass(run, build(run), tmp_path).measures
    assert measures["wall_time"].samples == pytest.approx([6 / 100] * 5)
    assert measures["wall_time"].value == pytest.approx(6 / 100)
    assert measures["wall_time_step"].value == pytest.approx(6 / 100 / 8)


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


def test_a_loss_that_is_no_number_ends_a_measuring_pass(tmp_path):
    run = spec()
    built = build(run)
    with torch.no_grad():
        built.network.readout.linear.weight.fill_(float("nan"))
    with pytest.raises(passes.DivergedError, match="loss is nan"):
        passes.time_pass(run, built, tmp_path)
