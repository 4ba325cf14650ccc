"""Trials that optuna proposes: equally many for each cell, the same after an interruption, better than at random."""

from __future__ import annotations

import math
import sys

import pytest

from tests.synthetic_records import measure, put
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.running.sweep import Request, sweeps
from throughtime.spec import Span
from throughtime.suites.suite import load_suite

pytest.importorskip("optuna")

SUITE = """
suite: searched
rules: [bptt, {name: tbptt, window: 4}]
neurons: [lif]
networks: [{name: recurrent, hidden: [4]}]
datasets: [{name: adding, steps: 12, sequences: 64, held_out: 64}]
passes: [train]
training: {epochs: 1, batch: 64}
tune:
  sampler: optuna
  trials: 16
  options:
    training.learning_rate: {from: 1e-5, to: 1, scale: log}
    training.optimiser: [adam, sgd]
    tbptt.window: {from: 2, to: 12}
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "searched.yaml").write_text(SUITE)
    return tmp_path / "searched.yaml"


def distance(spec):
    """Least, 0, at a learning rate of 1e-2 with SGD."""
    return abs(math.log10(spec.training.learning_rate) + 2) + (spec.training.optimiser != "sgd")


def sweep(path, store, value=distance, better="lower", rounds=None, only=()):
    """Give each due run of a suite a record; None: it diverged. Return the specs of all trials, by rule, in order."""
    trials = {}
    for number, made in enumerate(sweeps(Request(path, "tiny", store, only))):
        if number == rounds:
            break
        for p in made.due:
            result = value(p.spec)
            if result is None:
                put(store, p.spec, "diverged", id=p.id, failure=Failure(reason="loss is nan"))
                continue
            shown = measure(result, "1").model_copy(update={"better": better})
            put(store, p.spec, id=p.id, measures={"mse": shown, "mse_validation": shown}, metric="mse")
        if made.planned[0].spec.trial:
            trials = {}
            for p in made.planned:
                trials.setdefault(p.spec.rule.name, []).append(p.spec.trial)
    return trials


def tunings(store):
    results = Results.load(store.folder, ["searched"])
    return {(spec := results.record(run).spec).rule.name: spec.tuning for run in results.frame["id"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that has ended: the path of its suite, its store, and its trials."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "searched.yaml").write_text(SUITE)
    store = Store(folder / "runs")
    return folder / "searched.yaml", store, sweep(folder / "searched.yaml", store)


def test_each_cell_has_its_budget_and_the_search_finds_the_optimum(whole):
    _, store, trials = whole
    assert {rule: len(values) for rule, values in trials.items()} == {"bptt": 16, "tbptt": 16}
    assert trials["bptt"][0].keys() == {"training.learning_rate", "training.optimiser"}
    assert {type(values["tbptt.window"]) for values in trials["tbptt"]} == {int}
    assert all(2 <= values["tbptt.window"] <= 12 for values in trials["tbptt"])
    for rule, tuning in tunings(store).items():
        best = tuning.trials[tuning.chosen]
        assert best.values["training.optimiser"] == "sgd" and 4e-3 < best.values["training.learning_rate"] < 2.5e-2
        assert tuning.sampler.startswith("optuna ") and [t.values for t in tuning.trials] == trials[rule]
        assert tuning.spans["training.learning_rate"] == Span(low=1e-5, high=1, scale="log")
        near = [abs(math.log10(values["training.learning_rate"]) + 2) for values in trials[rule]]
        assert sum(near[10:]) / 6 < sum(near[:10]) / 10, "after ten at random it searches near the best"


def test_an_interrupted_search_goes_on_with_the_same_trials(whole, tmp_path):
    path, store, trials = whole
    cut = Store(tmp_path / "cut")
    assert len(sweep(path, cut, rounds=11)["bptt"]) == 11
    assert sweep(path, cut) == trials and tunings(cut) == tunings(store)
    (known, _) = sweeps(Request(path, "tiny", store))
    assert known.due == [], "a finished search runs nothing"


def test_a_plan_counts_the_trials_that_are_known_once(path, tmp_path):
    store = Store(tmp_path / "runs")
    sweep(path, store, rounds=3)
    (trials,) = sweeps(Request(path, "tiny", store))
    assert (len(trials.planned), len(trials.due), trials.cells_left) == (8, 2, 2)


def test_the_search_leaves_the_values_at_which_runs_fail(path, tmp_path):
    def value(spec):
        return None if spec.training.learning_rate > 1e-3 else 1.0

    trials = sweep(path, Store(tmp_path / "runs"), value, only=["bptt *"])["bptt"]
    failed = [values["training.learning_rate"] > 1e-3 for values in trials]
    assert sum(failed[:10]) >= 3 and sum(failed[10:]) <= 2


def test_only_the_named_cells_are_searched_and_more_is_better_where_the_metric_says_so(whole, tmp_path):
    path, _, trials = whole
    store = Store(tmp_path / "runs")
    again = sweep(path, store, lambda spec: -distance(spec), better="higher", only=["bptt lif adding"])
    assert again["bptt"] == trials["bptt"], "the search of the least distance"
    ((rule, tuning),) = tunings(store).items()
    assert rule == "bptt"
    assert tuning.trials[tuning.chosen].validation == max(trial.validation for trial in tuning.trials)


def test_a_value_in_the_outer_part_of_a_span_is_at_its_edge(path, tmp_path):
    store = Store(tmp_path / "runs")
    sweep(path, store, lambda spec: spec.training.learning_rate, only=["bptt *"])
    assert tunings(store)["bptt"].at_edge == ["smallest training.learning_rate"]
    span = Span(low=1e-4, high=1, scale="log")
    rates = (1e-4, 1.5e-4, 1.7e-4, 0.6, 0.65, 1)  # the outer 5 % end at 10^-3.8 and 10^-0.2
    assert [span.edge(rate) for rate in rates] == ["smallest", "smallest", None, None, "largest", "largest"]


def test_runs_and_trials_are_made_by_one_command(path, tmp_path):
    text = SUITE.replace("[bptt, {name: tbptt, window: 4}]", "[bptt]").replace("trials: 16", "trials: 2")
    path.write_text(text.replace("    tbptt.window: {from: 2, to: 12}\n", ""))
    assert main(["run", str(path), "--scale", "tiny", "--results", str(tmp_path / "runs"), "--jobs", "1"]) == 0
    results = Results.load(tmp_path / "runs")
    assert sorted(results.frame["suite"]) == ["searched", "searched-tune", "searched-tune"]
    (run,) = results.frame.loc[results.frame["suite"] == "searched", "id"]
    tuning = results.record(run).spec.tuning
    assert len(tuning.trials) == 2 and all(trial.validation is not None for trial in tuning.trials)


@pytest.mark.parametrize(
    "old, new, what",
    [
        ("sampler: optuna", "sampler: optima", "'optuna'"),
        ("  trials: 16\n", "", '`sampler: optuna` needs "trials"'),
        ("{from: 1e-5, to: 1, scale: log}", "[1e-3]", "has 2 combinations, fewer than 16 trials"),
        ("from: 2, to: 12", "from: 0, to: 12", 'tbptt: "window"'),
        ("from: 2, to: 12", "from: 2, to: 2", "a range needs two ends that differ"),
        ("optuna", "grid", '"training.learning_rate": "steps" is missing in its range'),
    ],
)
def test_a_wrong_search_is_refused(old, new, what, path):
    path.write_text(SUITE.replace(old, new))
    with pytest.raises(UsageError) as caught:
        load_suite(path)
    assert what in str(caught.value)


def test_without_optuna_the_error_names_the_extra(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["plan", str(path), "--scale", "tiny", "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "throughtime[tune]" in error and len(error.splitlines()) <= 2
