"""Rules against T: solved runs, the budget map and its figure, from records whose numbers are known."""

from __future__ import annotations

import math

import pytest

from tests.synthetic_records import DIVERGED, measure, put, results, run_spec
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.lengths import budget_map, cost_runs, length_cells
from throughtime.reports.lengths_figure import LINES, length_figures
from throughtime.spec import ComponentSpec


def spec_at(rule, T, replicate=0, suite="length"):
    options = {"cues": 1, "cue": 10, "gap": 0, "recall": 10, "delay": T - 20, "sequences": 40}
    task = ComponentSpec(name="evidence_accumulation", options=options, label=f"evidence-{T}")
    spec = run_spec((rule, "alif", "evidence"), replicate, suite=suite, passes=["train"])
    return spec.model_copy(update={"dataset": task})


def trained(store, rule, T, accuracies):
    for replicate, accuracy in enumerate(accuracies):
        put(store, spec_at(rule, T, replicate), measures=results("accuracy", accuracy, 0.5), metric="accuracy")


def costed(store, rule, T, streamed, ratio=None):
    measures = {"peak_live_bytes_streamed": measure(streamed, "byte")}
    measures |= {"time_over_bptt": measure(ratio, "1")} if ratio else {}
    put(store, spec_at(rule, T, suite="length-cost"), measures=measures)


@pytest.fixture
def store(tmp_path):
    """BPTT solves T = 50 alone and passes 8 MB at T = 200; e-prop solves both trained lengths; OTTT is small."""
    store = Store(tmp_path)
    for T, peak in ((50, 2e6), (100, 4e6), (200, 9e6)):
        costed(store, "bptt", T, peak)
        costed(store, "eprop", T, 3e6, 1.5)
        costed(store, "ottt", T, 2e5, 1.25)
    trained(store, "bptt", 50, [0.95, 0.96, 0.97])
    trained(store, "eprop", 50, [0.90, 0.91, 0.92])
    trained(store, "ottt", 50, [0.79, 0.80, 0.81])
    trained(store, "bptt", 100, [0.5, 0.5, 0.9])
    trained(store, "eprop", 100, [0.85, 0.86, 0.87])
    return store


def test_solved_runs_have_the_exact_interval_and_costs_stand_beside_them(store):
    cells = length_cells(Results(store.folder), "length", "laptop").set_index(["rule", "T"])
    ottt = cells.loc["ottt", 50]
    assert ottt[["n", "solved", "accuracy", "bytes", "time"]].tolist() == [3, 2, 0.80, 2e5, 1.25]
    assert ottt["batches"] == 4 * 2  # epochs times 40 sequences in batches of 32
    # Of 3 runs 2 solved: P(X >= 2 | p) = 3 p² − 2 p³ = 0.025 at the lower end, P(X <= 2 | p) = 1 − p³ at the upper.
    assert 3 * ottt["low"] ** 2 - 2 * ottt["low"] ** 3 == pytest.approx(0.025)
    assert 1 - ottt["high"] ** 3 == pytest.approx(0.025)
    assert cells.loc["bptt", 200][["n", "time"]].tolist() == [0, 1]


def test_costs_are_read_from_the_folder_if_the_results_lack_them(store):
    both = length_cells(Results(store.folder), "length", "laptop")
    assert length_cells(Results(store.folder, ["length"]), "length", "laptop").equals(both)


def test_a_suite_of_any_name_has_its_own_costs_and_length_updates_those_of_length():
    assert cost_runs("my-lengths", "paper") == ("my-lengths-cost", "paper")
    assert cost_runs("length", "tiny") == ("length-cost", "tiny")
    assert cost_runs("length-updates", "paper") == cost_runs("length", "laptop") == ("length-cost", "laptop")


def test_a_diverged_run_is_not_solved_and_an_interrupted_one_does_not_count(store):
    put(store, spec_at("bptt", 50, 3), "diverged", failure=Failure(reason=DIVERGED))
    put(store, spec_at("bptt", 50, 4), "killed", failure=Failure(reason="signal 9"))
    cells = length_cells(Results(store.folder), "length", "laptop").set_index(["rule", "T"])
    assert cells.loc["bptt", 50][["n", "solved"]].tolist() == [4, 3]


def test_the_best_rule_of_each_budget_and_what_it_loses(store):
    chosen = budget_map(length_cells(Results(store.folder), "length", "laptop")).set_index(["T", "budget"])
    assert chosen["rule"].dropna().to_dict() == {
        (50, "256 kB"): "ottt",
        (50, "8 MB"): "bptt",
        (50, "8 GB"): "bptt",
        (100, "8 MB"): "eprop",
        (100, "8 GB"): "eprop",
    }
    assert chosen.loc[(50, "256 kB"), "loss"] == pytest.approx(0.96 - 0.80)
    assert chosen.loc[(50, "8 MB"), "loss"] == 0
    # OTTT fits at T = 100 and was not trained there; nothing was trained at T = 200.
    assert chosen.loc[[(100, "256 kB"), (200, "8 MB")], "state"].tolist() == ["not run", "not run"]


def test_a_budget_has_no_best_rule_where_the_bytes_of_a_better_one_are_unknown(store):
    cells = length_cells(Results(store.folder), "length", "laptop")
    cells.loc[(cells["rule"] == "bptt") & (cells["T"] == 50), "bytes"] = math.nan
    chosen = budget_map(cells).set_index(["T", "budget"])
    assert chosen.loc[(50, "8 GB"), "state"] == "not measured" and chosen.loc[(100, "8 GB"), "rule"] == "eprop"
    unknown = budget_map(cells.assign(bytes=math.nan))
    assert set(unknown["state"]) == {"not measured", "not run"}  # nothing was trained at T = 200


def test_no_rule_is_best_where_none_solves(store):
    trained(store, "bptt", 200, [0.5, 0.6, 0.7])
    trained(store, "eprop", 200, [0.5, 0.9, 0.79])
    chosen = budget_map(length_cells(Results(store.folder), "length", "laptop")).set_index(["T", "budget"])
    assert chosen.loc[200, "8 GB"]["state"] == "none solves" and chosen.loc[100, "8 GB"]["rule"] == "eprop"
    trained(store, "ottt", 100, [0.52])
    chosen = budget_map(length_cells(Results(store.folder), "length", "laptop")).set_index(["T", "budget"])
    assert chosen.loc[100, "256 kB"]["state"] == "none solves", "OTTT fits and is at chance; e-prop does not fit"


def test_no_rule_fits_only_where_all_bytes_are_known_and_too_many(store):
    cells = length_cells(Results(store.folder).matching(rule=["bptt", "eprop"]), "length", "laptop")
    chosen = budget_map(cells).set_index(["T", "budget"])
    assert chosen.loc[(100, "256 kB"), "state"] == "none fits"


def test_a_suite_of_other_tasks_has_no_figure(tmp_path):
    store = Store(tmp_path)
    trained(store, "bptt", 50, [0.9])
    trained(store, "bptt", 100, [0.9])
    assert length_figures(Results(store.folder), "length", "laptop") == {}


def test_the_figure_says_what_was_not_run(store):
    (drawn,) = length_figures(Results(store.folder), "length", "laptop").values()
    texts = [text.get_text() for text in drawn.figure.axes[0].texts]
    assert texts.count("not run") == 1
    assert {"BPTT", "e-prop", "OTTT"} < set(texts)
    cells = [text.get_text() for text in drawn.figure.axes[-1].texts]
    assert cells.count("not run") == 4
    assert "OTTT\n−16" in cells and "BPTT\nbest" in cells


def test_eight_rules_have_a_line(store):
    for rule in LINES:
        for T in (50, 100, 200):
            costed(store, rule, T, 1e6)
    (drawn,) = length_figures(Results(store.folder), "length", "laptop").values()
    assert len([line for line in drawn.figure.axes[1].lines if len(line.get_xdata()) == 3]) == 8


def test_the_map_has_a_rule_without_a_family(store):
    trained(store, "mine", 50, [0.98, 0.98, 0.98])
    costed(store, "mine", 50, 1e5)
    (drawn,) = length_figures(Results(store.folder), "length", "laptop").values()
    assert "mine\nbest" in [text.get_text() for text in drawn.figure.axes[-1].texts]


def test_a_variant_on_other_neurons_has_the_costs_of_its_rule(store):
    spec = spec_at("bptt", 50)
    for label, options in (("low", {"added_since": None}), ("ends", {"loss_at": "end"})):
        rule = ComponentSpec(name="bptt", options=spec.rule.options | options, label=label)
        variant = spec.model_copy(update={"rule": rule})
        put(store, variant, measures=results("accuracy", 0.9, 0.5), metric="accuracy")
    cells = length_cells(Results(store.folder), "length", "laptop").set_index(["rule", "T"])
    assert cells.loc["low", 50][["n", "bytes", "time"]].tolist() == [1, 2e6, 1.0]
    assert cells.loc["ends", 50][["bytes", "time"]].isna().all()
