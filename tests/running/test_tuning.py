"""Tuning: the trials run first, the best on validation has the final runs, and failures are rows."""

from __future__ import annotations

import io
import shutil

import pytest
from rich.console import Console

import throughtime as tt
from tests.synthetic_records import measure, put
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.page.interactive import described
from throughtime.reports.tuning_figure import tuning_figure
from throughtime.running.engine import PassJob
from throughtime.running.plan import plan, to_run
from throughtime.running.progress import TerminalProgress
from throughtime.running.sweep import Request, sweeps
from throughtime.running.tuning import NO_TRIAL, after_tuning, trial_runs
from throughtime.suites.suite import load_suite

SUITE = """
suite: tuned
rules: [bptt, {name: tbptt, window: 4}]
neurons: [lif]
networks: [{name: recurrent, hidden: [4]}]
datasets: [{name: adding, steps: 12, sequences: 64, held_out: 64}]
passes: [train]
training: {epochs: 1, batch: 64}
replicates: 2
tune: {options: {training.learning_rate: [1e-3, 1e-2, 1e-1], tbptt.window: [3, 6]}, replicates: 2}
"""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "tuned.yaml").write_text(SUITE)
    return load_suite(tmp_path / "tuned.yaml")


def record_trials(store, suite, values, metric="mse", better="lower", failing=(), stale=False):
    """Write a record for each run of a trial: value of trial i, plus 0.01 for its second replicate."""
    runs = trial_runs(suite, "tiny", suite.trials["tiny"])
    for i, planned in enumerate(plan(runs, store)):
        trial, replicate = divmod(i, 2)
        if trial in failing and replicate:
            put(store, planned.spec, "diverged", id=planned.id, failure=Failure(reason="loss is nan"))
            continue
        value = measure(values[trial] + 0.01 * replicate, "1").model_copy(update={"better": better})
        test = value.model_copy(update={"value": 1 - value.value})  # ranks the trials the other way round
        measures = {metric: test, f"{metric}_validation": value}
        put(store, planned.spec, id=f"{i:012}" if stale else planned.id, measures=measures, metric=metric)


def chosen(outcome):
    return {p.spec.rule.label: (p.spec.training.learning_rate, p.spec.tuning) for p in outcome.planned}


@pytest.mark.parametrize("better, best", [("lower", 1), ("higher", 0)])
def test_the_best_trial_on_validation_has_the_runs(store, suite, better, best):
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2], better=better)
    result = chosen(after_tuning(suite, "tiny", store, suite.trials["tiny"]))
    assert result.keys() == {"bptt", "tbptt"}
    rate, tuning = result["bptt"]
    assert rate == [1e-3, 1e-2, 1e-1][best]
    assert (tuning.metric, tuning.chosen, tuning.seed, tuning.replicates) == ("mse", best, 1, 2)
    assert [t.validation for t in tuning.trials] == pytest.approx([0.305, 0.105, 0.205])
    assert tuning.trials[best].values == {"training.learning_rate": rate}


def test_a_trial_with_a_failed_run_is_not_chosen(store, suite):
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2], failing=(1, 3, 4, 5))
    outcome = after_tuning(suite, "tiny", store, suite.trials["tiny"])
    result = chosen(outcome)
    assert result["bptt"][0] == 1e-1 and result["bptt"][1].trials[1].validation is None
    assert result["tbptt"][1] is None
    assert {p.spec.rule.label: p.unsupported for p in outcome.planned} == {"bptt": None, "tbptt": NO_TRIAL}


def test_cells_with_trials_to_run_are_not_planned(store, suite):
    assert after_tuning(suite, "tiny", store, suite.trials["tiny"]) == ([], 2)
    request = Request(store.folder / "tuned.yaml", "tiny", store, only=["tbptt lif adding #1"])
    (trials,) = sweeps(request)
    assert {p.spec.rule.name for p in trials.due} == {"tbptt"} and len(trials.due) == 6
    assert {p.spec.suite for p in trials.planned} == {"tuned-tune"}


def test_a_cell_with_some_of_its_trials_is_not_planned(store, suite):
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2])
    first = plan(trial_runs(suite, "tiny", suite.trials["tiny"]), store)[0]
    shutil.rmtree(store.run_folder(first.spec.suite, first.id))
    outcome = after_tuning(suite, "tiny", store, suite.trials["tiny"])
    assert chosen(outcome).keys() == {"tbptt"} and outcome.cells_left == 1


@pytest.mark.parametrize("name", ["bptt lif adding #1", "bptt lif adding #[01]", "bptt lif adding", "bptt*adding #*"])
def test_a_name_of_runs_selects_the_trials_of_their_cell(name, store, suite):
    (trials,) = sweeps(Request(store.folder / "tuned.yaml", "tiny", store, [name]))
    assert {p.spec.rule.name for p in trials.due} == {"bptt"} and len(trials.due) == 6


def test_names_select_trials_and_runs(store, suite):
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2])
    path = store.folder / "tuned.yaml"

    def due(*only, rerun="none"):
        return [[p.spec.label for p in sweep.due] for sweep in sweeps(Request(path, "tiny", store, only, rerun))]

    assert due() == [[], [f"{rule} lif adding #{i}" for rule in ("bptt", "tbptt") for i in range(2)]]
    assert due("bptt lif adding #1", rerun="all") == [[], ["bptt lif adding #1"]], "its trials are not repeated"
    label = "bptt learning_rate=0.01 lif adding #0"
    assert due(label, rerun="all") == [[label]], "the command of its record"
    run_id = after_tuning(suite, "tiny", store, suite.trials["tiny"]).planned[0].id
    assert due(run_id) == [[], ["bptt lif adding #0"]]


def test_stale_trials_count_like_other_stale_runs(store, suite):
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2], stale=True)
    path = store.folder / "tuned.yaml"
    trials, runs = sweeps(Request(path, "tiny", store))
    assert trials.due == [] and len(runs.due) == 4
    assert chosen(after_tuning(suite, "tiny", store, suite.trials["tiny"]))["bptt"][0] == 1e-2
    trials = next(sweeps(Request(path, "tiny", store, rerun="stale")))
    assert len(trials.due) == 12


def test_a_name_that_selects_nothing_is_refused(store, suite):
    request = Request(store.folder / "tuned.yaml", "tiny", store, only=["bptt *", "fptt *"])
    with pytest.raises(UsageError, match='no run "fptt \\*"'):
        next(sweeps(request))
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2])
    with pytest.raises(UsageError, match='no run "fptt \\*"'):
        list(sweeps(request))


def test_a_run_that_was_skipped_for_its_trials_is_due_once_they_succeed(store, suite):
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2], failing=(0, 1, 2))
    (run, *_) = after_tuning(suite, "tiny", store, suite.trials["tiny"]).planned
    put(store, run.spec, "skipped", id=run.id, failure=Failure(reason=NO_TRIAL))
    assert run.id not in {
        p.id for p in to_run(after_tuning(suite, "tiny", store, suite.trials["tiny"]).planned, "none")
    }
    record_trials(store, suite, [0.1, 0.2, 0.3, 0.3, 0.1, 0.2])
    assert run.id in {p.id for p in to_run(after_tuning(suite, "tiny", store, suite.trials["tiny"]).planned, "none")}


def test_a_diverged_trial_is_no_failure_of_the_sweep(store, suite):
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2], failing=(1,))
    trials, runs = sweeps(Request(store.folder / "tuned.yaml", "tiny", store))
    assert trials.unfinished([]) == []
    assert len(runs.unfinished([])) == 4, "no run has its record yet"


def test_the_figure_has_a_point_for_each_trial_and_a_panel_for_each_option(store, suite):
    record_trials(store, suite, [0.3, 0.1, 0.2, 0.3, 0.1, 0.2])
    drawn = tuning_figure(Results(store.folder), "tuned-tune", "tiny")
    data = drawn.data[drawn.data["rule"] == "bptt"]
    assert list(data["value"]) == [1e-3, 1e-2, 1e-1]
    assert list(data["mean"]) == pytest.approx([0.305, 0.105, 0.205])
    assert set(drawn.data["option"]) == {"training.learning_rate", "tbptt.window"}
    assert tuning_figure(Results(store.folder), "tuned", "tiny") is None


def test_trials_of_two_networks_are_counted_apart(store, suite, tmp_path):
    (tmp_path / "tuned.yaml").write_text(SUITE.replace("{name: recurrent, hidden: [4]}", "chaotic_rnn, recurrent"))
    two = load_suite(tmp_path / "tuned.yaml")
    record_trials(store, two, [0.3] * sum(map(len, two.trials["tiny"])))
    assert "12 trials" in tuning_figure(Results(store.folder), "tuned-tune", "tiny").caption[0]


def test_the_page_has_the_words_of_an_option_that_is_no_number(store, tmp_path):
    text = SUITE.replace("training.learning_rate: [1e-3, 1e-2, 1e-1]", "training.optimiser: [adam, sgd]")
    (tmp_path / "tuned.yaml").write_text(text)
    record_trials(store, load_suite(tmp_path / "tuned.yaml"), [0.3, 0.1, 0.2, 0.3, 0.1, 0.2])
    panel, _ = described(tuning_figure(Results(store.folder), "tuned-tune", "tiny").figure)["panels"]
    assert panel["x"]["ticks"] == [[0, 1], ["adam", "sgd"]] and panel["traces"][0]["x"] == [0, 1]


def test_trials_and_runs_are_made_one_after_the_other(tmp_path, capsys, monkeypatch):
    path = tmp_path / "small.yaml"
    path.write_text(SUITE.replace("[bptt, {name: tbptt, window: 4}]", "[bptt]").replace(", tbptt.window: [3, 6]", ""))
    words = ["run", str(path), "--scale", "tiny", "--results", str(tmp_path / "runs"), "--jobs", "1"]
    changes = ["--set", "tune={options: {training.learning_rate: [1e-3, 1e-1]}}", "--set", "replicates=1"]
    assert main([*words, *changes]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("1 run is recorded") and f"throughtime report tuned --results {tmp_path}" in last
    results = tt.load(tmp_path / "runs")
    assert sorted(results.frame["suite"]) == ["tuned", "tuned-tune", "tuned-tune"]
    (run,) = results.frame.loc[results.frame["suite"] == "tuned", "id"]
    spec = results.record(run).spec
    assert spec.tuning is not None
    best = spec.tuning.trials[spec.tuning.chosen]
    assert best.validation == min(trial.validation for trial in spec.tuning.trials)
    assert spec.training.learning_rate == best.values["training.learning_rate"]
    assert "--set 'tune={options: {training.learning_rate: [1e-3, 1e-1]}}'" in results.record(run).command


def test_a_terminal_shows_a_bar_with_the_elapsed_time(tmp_path, suite):
    stream = io.StringIO()
    progress = TerminalProgress(Console(file=stream, force_terminal=True, width=150))
    planned = plan(suite.expand("tiny"), Store(tmp_path))
    progress.begin([p.spec for p in planned])
    progress.running([PassJob(planned[0], "train", tmp_path)])
    progress.show("a line [with] brackets")
    progress.end()
    shown = stream.getvalue()
    assert "0/4" in shown and "0:00:0" in shown and "bptt lif adding #0: epoch 0/1" in shown
    assert "a line [with] brackets" in shown
