"""Targets: words by tolerance, interval, trivial level, number of runs and failures."""

from __future__ import annotations

import math

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.papers.verdicts import PaperFile, Target, judge_runs

CELL = {"suite": "quick", "rule": "bptt", "neuron": "lif", "dataset": "adding", "measure": "mse", "scale": "laptop"}
NAN, LATE = math.nan, "timeout"


def target(published: float, **fields) -> Target:
    fields = {"tolerance": 0.01} | fields if "spread" not in fields else fields
    return Target(item="error", published=published, source="here", cell={**CELL, **fields.pop("cell", {})}, **fields)


@pytest.fixture
def judged(tmp_path):
    """Judge a target on runs with these values; NaN is a run that diverged, a status one that failed; their 0.5
    does not count."""
    store = Store(tmp_path / "runs")

    def judge(target: Target, values: list[float | str]):
        for replicate, value in enumerate(values):
            failed = {"measures": {"mse": measure(0.5, "1")}, "failure": Failure(reason="made up")}
            status = value if isinstance(value, str) else "diverged" if math.isnan(value) else "ok"
            fields = {"measures": {"mse": measure(value, "1")}} if status == "ok" else failed
            put(store, run_spec("bptt lif adding", replicate), status, **fields)
        return judge_runs(target, Results(store.folder))

    return judge


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([0.80, 0.81, 0.79], "reproduced"),
        ([0.85, 0.80, 0.90], "within interval"),  # 0.85 ± 0.124
        ([0.90, 0.91, 0.92], "not reproduced"),  # 0.91 ± 0.025
        ([0.2, 0.5, 1.0], "unclear"),  # 0.57 ± 1.0 could not have failed
        ([0.80, 0.81], "unclear"),
        ([0.3], "unclear"),
        ([0.80, NAN, NAN, NAN, NAN], "not reproduced"),
        ([NAN, NAN, NAN], "not reproduced"),
        ([0.80, 0.81, 0.79, LATE], "unclear"),
        ([0.90, 0.91, 0.92, LATE], "not reproduced"),
        ([LATE, LATE], "unclear"),
        ([], "not run here"),
    ],
)
def test_the_word_of_runs(judged, values, word):
    row = judged(target(0.80), values)
    assert row.verdict == word, row.reason
    finite = [value for value in values if value != LATE]
    assert row.n == (len(finite) or None)


@pytest.mark.parametrize(
    ("published", "values", "word"),
    [
        (0.17, [0.18, 0.16, 0.17], "both at the trivial level"),
        (0.155, [0.2, 0.3, 0.15], "both at the trivial level"),
        (0.17, [0.18, 0.17, 0.12], "unclear"),  # one run is not at the level: 0.157 ± 0.08
        (0.17, [0.12, 0.13, 0.12], "not reproduced"),
        (0.01, [0.17, 0.17, 0.17], "not reproduced"),
        (0.17, [0.17, 0.17, NAN], "not reproduced"),
        (0.17, [0.17, 0.17], "unclear"),
    ],
)
def test_networks_that_learnt_nothing_reproduce_nothing(judged, published, values, word):
    row = judged(target(published, spread=0.02, averaged=100, trivial=1 / 6), values)
    assert row.verdict == word, row.reason


def test_the_tolerance_of_a_mean_is_its_standard_error(judged):
    hundred = target(0.010, spread=0.010, averaged=100)
    assert hundred.reach == pytest.approx(0.001)
    assert judged(hundred, [0.0149, 0.0150, 0.0151]).verdict == "not reproduced", "within the deviation of one"
    assert judged(hundred, [0.0108, 0.0109, 0.0110]).verdict == "reproduced"
    assert target(0.5, spread=0.02, averaged=4).reach == pytest.approx(0.01)


def test_a_cell_without_its_measure_was_not_run(judged):
    assert judged(target(0.8, cell={"measure": "accuracy"}), [0.8] * 3).verdict == "not run here"
    for other in ({"rule": "fptt"}, {"scale": "paper"}):
        assert judged(target(0.8, cell=other), [0.8] * 3).verdict == "not run here"


def test_the_nearest_measure_is_named(judged):
    row = judged(target(0.8, cell={"measure": "msee"}), [0.8] * 3)
    assert row.verdict == "not run here" and 'no run has "msee", did you mean "mse"?' in row.reason


def test_a_target_has_one_origin_and_one_tolerance():
    with pytest.raises(ValueError, match="either a cell or exact"):
        PaperFile(title="t", targets=[Target(item="a", published=1, tolerance=0, source="s")])
    for fields in ({}, {"spread": 0.1}, {"averaged": 5}, {"spread": 0.1, "averaged": 5, "tolerance": 0.1}):
        with pytest.raises(ValueError, match="either a tolerance, or spread and averaged"):
            Target(item="a", published=1, source="s", exact="f", **fields)
