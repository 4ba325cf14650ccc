"""Every claim of the paper `fptt` on records made up so that it holds, does not, or cannot be decided.

C9 and C10 are in test_fptt_deep.py. C8 has no third answer, nor has C6, which is computed without records: a test in
test_fptt_frames.py shows that it holds.
"""

from __future__ import annotations

import pytest

from tests.reports.test_fptt import AS_LONG, FLAT, SOLVED, put_run
from tests.synthetic_records import costs, put, results, run_spec
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.fptt import claims

LENGTHS = (200, 500, 1000)
LTC = "ltc_adding"
TOO_LONG = [0.17] * 221
"""A curve of more iterations than the authors' runs took to become NaN."""
FPTT_LEARNS = {(T, "fptt-authors", LTC): SOLVED for T in LENGTHS}
BPTT = {(T, "bptt", LTC): FLAT for T in LENGTHS}
GATED = {(500, "fptt-authors", LTC): SOLVED, (500, "fptt-authors-none", "lstm"): SOLVED}
SIMPLE = {(500, "fptt-authors", "asrnn_adding"): FLAT, (500, "fptt-authors-none", "rnn"): FLAT}
WITH = {(200, "fptt-authors", LTC): SOLVED, (200, "fptt", LTC): SOLVED}
WITHOUT = {(200, "fptt-authors-none", LTC): FLAT, (200, "fptt-none", LTC): FLAT}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.mark.parametrize(
    ("claim", "cells", "scale", "word"),
    [
        (claims.learns_long_sequences, FPTT_LEARNS, "laptop", "supported"),
        (claims.learns_long_sequences, FPTT_LEARNS | {(1000, "fptt-authors", LTC): FLAT}, "paper", "not supported"),
        (claims.learns_long_sequences, FPTT_LEARNS | {(1000, "fptt-authors", LTC): FLAT}, "laptop", "unclear"),
        (claims.learns_with_an_update_at_each_step, {(200, "fptt-step", LTC): SOLVED}, "laptop", "supported"),
        (claims.learns_with_an_update_at_each_step, {(200, "fptt-step", LTC): FLAT}, "paper", "not supported"),
        (claims.learns_with_an_update_at_each_step, {(200, "fptt-step", LTC): FLAT}, "laptop", "unclear"),
        (claims.bptt_fails, BPTT, "paper", "supported"),
        (claims.bptt_fails, BPTT | {(200, "bptt", LTC): SOLVED}, "laptop", "not supported"),
        (claims.bptt_fails, BPTT, "laptop", "unclear"),
        (claims.bptt_becomes_nan, {(500, "bptt", LTC): None}, "laptop", "supported"),
        (claims.bptt_becomes_nan, {(500, "bptt", LTC): TOO_LONG}, "laptop", "not supported"),
        (claims.bptt_becomes_nan, {(500, "bptt", LTC): FLAT}, "laptop", "unclear"),
        (claims.simple_cells_fail, GATED | SIMPLE, "paper", "supported"),
        (
            claims.simple_cells_fail,
            GATED | SIMPLE | {(500, "fptt-authors-none", "rnn"): SOLVED},
            "paper",
            "not supported",
        ),
        (claims.simple_cells_fail, GATED | SIMPLE, "laptop", "unclear"),
        (claims.regulariser_matters, WITH | WITHOUT, "paper", "supported"),
        (claims.regulariser_matters, WITH | WITHOUT | {(200, "fptt-none", LTC): SOLVED}, "paper", "not supported"),
        (claims.regulariser_matters, WITH | WITHOUT, "laptop", "unclear"),
    ],
)
def test_claims_on_the_adding_task(store, claim, cells, scale, word):
    """A curve of None is a run that becomes NaN; at scale paper a flat one is as long as those of the paper."""
    assert claim(Results(store.folder)).word == "not run here"
    for (T, rule, neuron), curve in cells.items():
        failed = {"status": "diverged", "failure": Failure(reason="nan")} if curve is None else {}
        curve = AS_LONG if curve is FLAT and scale == "paper" else curve or FLAT
        for replicate in range(3):
            put_run(store, rule, replicate, curve=curve, T=T, neuron=neuron, scale=scale, **failed)
    answer = claim(Results(store.folder))
    assert (answer.word, answer.n, answer.scale) == (word, 3, scale)


@pytest.mark.parametrize(
    ("claim", "suite", "ours", "theirs", "limits"),
    [
        (claims.exceeds_eprop, "fptt-sequences", "fptt ltc_smnist rmnist", "eprop alif rmnist", (0.1, 0.0, -0.1)),
        (claims.exceeds_bptt_on_frames, "fptt-frames", "fptt ltc nmnist-20", "bptt ltc nmnist-20", (0.1, 0.0, -0.1)),
        (
            claims.exceeds_bptt_with_auxiliary_loss,
            "fptt-frames",
            "fptt ltc nmnist-20",
            "bptt-aux ltc nmnist-20",
            (0.1, 0.0, -0.1),
        ),
        (
            claims.approaches_bptt_on_sequences,
            "fptt-sequences",
            "fptt ltc_smnist rmnist",
            "bptt ltc_smnist rmnist",
            (0.0, -0.03, -0.1),
        ),
    ],
)
def test_claims_on_accuracies(store, claim, suite, ours, theirs, limits):
    """Differences that hold, lie within two standard errors of the bound, or do not hold."""
    for difference, word in zip(limits, ("supported", "unclear", "not supported"), strict=True):
        for cell, level in ((theirs, 0.7), (ours, 0.7 + difference)):
            for replicate, off in enumerate((-0.01, 0.0, 0.01)):
                spec = run_spec(cell, replicate, suite=suite)
                put(store, spec, measures=results("accuracy", level + off, 0.1))
        assert claim(Results(store.folder)).word == word


def put_times(store, contended=False, **seconds):
    """Times of sequences of 20, 40 and 80 frames, by rule."""
    for rule, values in seconds.items():
        for T, value in zip((20, 40, 80), values, strict=True):
            spec = run_spec(f"{rule.replace('_', '-')} ltc frames-{T}", suite="fptt-time", steps=T)
            put(store, spec, measures=costs(value, None), contended=contended)


LINEAR, SLOWER, QUADRATIC = (0.2, 0.4, 0.8), (0.3, 0.6, 1.2), (0.2, 0.8, 3.2)


@pytest.mark.parametrize(
    ("claim", "holds", "fails"),
    [
        (claims.time_of_a_frame_is_constant, {"fptt_step": LINEAR}, {"fptt_step": QUADRATIC}),
        (claims.intermediate_outputs_are_quadratic, {"bptt_io": QUADRATIC}, {"bptt_io": LINEAR}),
        (claims.faster_than_bptt, {"fptt_step": LINEAR, "bptt": SLOWER}, {"fptt_step": SLOWER, "bptt": LINEAR}),
    ],
)
def test_claims_on_times(store, claim, holds, fails):
    put_times(store, **holds)
    assert claim(Results(store.folder)).word == "supported"
    put_times(store, **fails)
    assert claim(Results(store.folder)).word == "not supported"
    put_times(store, contended=True, **holds)
    answer = claim(Results(store.folder))
    assert answer.word == "unclear" and answer.reason.endswith("the machine was busy")


def put_accuracies(store, neuron, T, level):
    for replicate, off in enumerate((-0.01, 0.0, 0.01)):
        spec = run_spec(f"fptt {neuron} nmnist-{T}", replicate, suite="fptt-frames", steps=T)
        put(store, spec, measures=results("accuracy", level + off, 0.1))


def test_the_claim_on_the_number_of_frames(store):
    for last, word in ((0.83, "supported"), (0.755, "unclear"), (0.70, "not supported")):
        put_accuracies(store, "ltc", 20, 0.80)
        put_accuracies(store, "ltc", 80, last)
        assert claims.does_not_degrade(Results(store.folder)).word == word


def test_the_claim_on_complex_neurons(store):
    for neuron in ("ltc", "alif", "izhikevich"):
        assert claims.trains_complex_neurons(Results(store.folder)).word == "not run here"
        put_accuracies(store, neuron, 20, 0.5)
    assert claims.trains_complex_neurons(Results(store.folder)).word == "supported"
    put_accuracies(store, "alif", 20, 0.15)
    assert claims.trains_complex_neurons(Results(store.folder)).word == "not supported"


@pytest.mark.parametrize(("of_fptt", "of_bptt"), [(5.0, 5.5), (0.0, 0.0)])
def test_the_claim_on_memory_needs_fptt_flat_and_bptt_not(store, monkeypatch, of_fptt, of_bptt):
    monkeypatch.setattr(claims, "slope", lambda rule, *_: of_bptt if rule == "bptt" else of_fptt)
    assert claims.memory_is_constant(Results(store.folder)).word == "not supported"
