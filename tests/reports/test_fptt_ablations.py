"""Figures of the ablations of the paper `fptt`, from records made up for the runs of its suites."""

from __future__ import annotations

import pytest

from tests.synthetic_records import put, results
from throughtime.records.results import Results
from throughtime.reports.fptt.figures import FIGURES
from throughtime.suites.suite import load_suite


def put_all(store, suite, value, only=lambda spec: True, **fields):
    for spec in load_suite(suite).expand("laptop"):
        if only(spec):
            metric = "mse" if spec.dataset.name == "adding" else "accuracy"
            measures = results(metric, value(spec) if metric == "mse" else 0.9, 1 / 6)
            put(store, spec, metric=metric, measures=measures, **fields)


def test_the_error_is_drawn_against_alpha_and_parts(store):
    """The geometric mean of 0.01, 0.02 and 0.04 is 0.02; the run with ten parts and α = 0.01 is in both panels."""
    assert FIGURES["ablations"](Results(store.folder), "laptop") is None
    put_all(store, "fptt-ablations", lambda spec: 0.01 * 2**spec.replicate)
    drawn = FIGURES["ablations"](Results(store.folder), "laptop")
    regulariser, parts, auxiliary = drawn.figure.axes
    assert [list(line.get_xdata()) for line in regulariser.lines if line.get_linestyle() in ("-", "--")][:2] == [
        [0.001, 0.01, 0.1, 0.5]
    ] * 2
    (line,) = (line for line in parts.lines if line.get_linestyle() == "-")
    assert list(line.get_xdata()) == [1, 2, 5, 10, 20, 50, 200]
    assert list(line.get_ydata()) == pytest.approx([0.02] * 7)
    assert [list(line.get_ydata()) for line in auxiliary.lines][1] == [90, 90]
    assert len(drawn.data) == 9 * 3 + 1 * 3 + 7 * 3 + 2 * 3 and "n = 3 a point" in drawn.caption[0]
    assert set(drawn.data.loc[drawn.data["form"] == "mean", "run"]) == {
        f"fptt-code-mean ltc_adding adding_snn adding #{r}" for r in range(3)
    }


def test_runs_that_failed_or_are_missing_are_counted(store):
    put_all(store, "fptt-ablations", lambda spec: 0.01, lambda spec: spec.replicate == 0 or "K5" not in spec.rule.label)
    put_all(store, "fptt-ablations", lambda spec: 0.01, lambda spec: spec.rule.label == "fptt-K2", status="diverged")
    drawn = FIGURES["ablations"](Results(store.folder), "laptop")
    assert drawn.caption[0].endswith("n = 1–3 a point.") and "3 of 50 runs failed and are not drawn." in drawn.caption
    assert 2 not in set(drawn.data.loc[drawn.data["panel"] == "K", "x"])


def texts(drawn):
    return [[text.get_text() for text in panel.texts] for panel in drawn.figure.axes]


def test_each_pair_of_gates_has_its_cell(store):
    assert FIGURES["gates"](Results(store.folder), "laptop") is None
    put_all(store, "fptt-gates", lambda spec: 0.01 * 2**spec.replicate, lambda spec: spec.neuron.label != "m_p-a_b")
    put_all(store, "fptt-gates", lambda spec: 0, lambda spec: spec.neuron.label == "m_v-a_p", status="diverged")
    put_all(store, "fptt-gates", lambda spec: 0.5, lambda spec: spec.neuron.label == "m_I")
    drawn = FIGURES["gates"](Results(store.folder), "laptop")
    (cells,) = texts(drawn)
    assert len(cells) == 20 and cells.count("0.02 (4)") == 17
    assert (cells[5], cells[14], cells[18]) == ("0.5 (1)", "diverged", "not run")
    assert "n = 3 a cell" in drawn.caption[0]
