"""Rules relative to BPTT, from records whose numbers are known."""

from __future__ import annotations

import math

import pytest

from tests.synthetic_records import costs, measure, put, results, run_spec
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.relative import relative_to_bptt


def recorded(store, cell, values, metric="accuracy", seconds=None, streamed=None, ratio=None):
    for replicate, value in enumerate(values):
        measures = results(metric, value, 0.5)
        if replicate == 0:
            measures |= costs(seconds, None) if seconds else {}
            measures |= {"peak_live_bytes_streamed": measure(streamed, "byte")} if streamed else {}
            measures |= {"time_over_bptt": measure(ratio, "1")} if ratio else {}
        put(store, run_spec(cell, replicate), measures=measures)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    recorded(store, "bptt lif digits", [0.90, 0.91, 0.92], seconds=2e-3, streamed=1000)
    recorded(store, "eprop lif digits", [0.60, 0.62, 0.61], seconds=3e-3, streamed=500)
    recorded(store, "tbptt lif digits", [0.90, 0.91, 0.92], ratio=1.25)
    return store


def test_difference_verdict_and_costs(store):
    cells = relative_to_bptt(Results(store.folder), "quick", "laptop").cells.set_index("rule")
    assert cells["difference"].tolist() == pytest.approx([0, 0, -0.30])
    assert cells["verdict"].to_dict() == {"bptt": "reference", "tbptt": "not distinguished", "eprop": "worse"}
    assert cells.loc["eprop", ["bytes_over_bptt", "time_over_bptt"]].tolist() == [0.5, 1.5]
    assert cells.loc["tbptt", "time_over_bptt"] == 1.25  # the pass that takes turns, and no wall time
    assert math.isnan(cells.loc["tbptt", "bytes_over_bptt"])


def test_a_metric_of_which_less_is_better_is_turned(tmp_path):
    store = Store(tmp_path)
    recorded(store, "bptt lif adding", [0.2, 0.21, 0.22], metric="mse")
    recorded(store, "eprop lif adding", [0.1, 0.12, 0.11], metric="mse")
    result = relative_to_bptt(Results(store.folder), "quick", "laptop")
    assert result.cells["verdict"].tolist() == ["reference", "better"]
    assert result.rules["improvement"].tolist() == [1.0]
    assert result.rules["advantage"].tolist() == pytest.approx([0.1])


def test_a_rule_without_one_of_the_tasks_is_in_the_cells_alone(store):
    recorded(store, "bptt lif fsdd", [0.5, 0.6])
    recorded(store, "eprop lif fsdd", [0.4, 0.5])
    result = relative_to_bptt(Results(store.folder), "quick", "laptop")
    assert result.rules["rule"].tolist() == ["eprop"]
    assert set(result.cells["rule"]) == {"bptt", "tbptt", "eprop"}
    assert result.rules[["tasks", "runs"]].iloc[0].tolist() == [2, 5]


def test_without_bptt_nothing_is_compared(tmp_path):
    store = Store(tmp_path)
    recorded(store, "eprop lif digits", [0.5])
    result = relative_to_bptt(Results(store.folder), "quick", "laptop")
    assert result.cells.empty
    assert result.rules.empty
