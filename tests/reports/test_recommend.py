"""Recommendations: bytes of the user's network, and the accuracies of records that are made up."""

from __future__ import annotations

import pytest

import throughtime as tt
from tests.synthetic_records import put, results, run_spec
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.measuring.training_bytes import Sizes, training_bytes
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports import recommend
from throughtime.reports.recommend import Evidence, evidence_at, recommendations

SIZES = Sizes(hidden=(4,), inputs=2, outputs=2, batch=2)
RULES = ("bptt", "eprop", "ottt", "sltt")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Suite `rules`: at T = 30 OTTT is best and e-prop second; at T = 2000 e-prop is best. SLTT has no record."""
    monkeypatch.setattr(recommend.ALGORITHMS, "names", lambda: list(RULES))
    store = Store(tmp_path)
    for T, accuracies in ((30, {"bptt": 0.7, "eprop": 0.8, "ottt": 0.9}), (2000, {"eprop": 0.6, "ottt": 0.5})):
        for rule, accuracy in accuracies.items():
            for replicate in range(2):
                spec = run_spec(f"{rule} lif adding-{T}", replicate, suite="rules", steps=T)
                result = results("accuracy", accuracy + 0.01 * replicate, 0.5)
                put(store, spec, measures=result, metric="accuracy")
    return store


def test_evidence_is_that_of_the_nearest_length_by_ratio(store):
    evidence = evidence_at(Results(store.folder), 60, "lif")
    assert {rule: result.T for rule, result in evidence.items()} == {"bptt": 30, "eprop": 30, "ottt": 30}
    assert evidence["eprop"] == Evidence("eprop", "rules", "adding-30", 30, 4, 2, 2, pytest.approx(0.805), {})
    assert evidence_at(Results(store.folder), 300, "lif").keys() == {"eprop", "ottt"}  # 2000 / 300 < 300 / 30
    assert evidence_at(Results(store.folder), 60, "alif") == {}


def test_the_suite_of_lengths_comes_before_the_other(store):
    spec = run_spec("eprop lif adding-5000", suite="length", steps=5000)
    put(store, spec, measures=results("accuracy", 0.75, 0.5), metric="accuracy")
    assert evidence_at(Results(store.folder), 60, "lif")["eprop"].suite == "length"


def test_a_share_of_solved_runs_comes_before_the_median_and_a_diverged_run_is_not_solved(store):
    for replicate in (2, 3):
        spec = run_spec("ottt lif adding-30", replicate, suite="rules", steps=30)
        put(store, spec, status="diverged", metric="accuracy")
    evidence = evidence_at(Results(store.folder), 30, "lif")["ottt"]
    assert (evidence.solved, evidence.n, evidence.accuracy) == (2, 4, pytest.approx(0.45))
    rows = recommendations(Results(store.folder), 30, 10**6, "lif", SIZES)
    assert rows["rule"].tolist() == ["eprop", "ottt", "bptt", "sltt"]


def test_a_rule_with_a_label_of_its_own_has_the_bytes_of_its_rule(store):
    spec = run_spec("ottt lif adding-30", suite="rules", steps=30)
    labelled = spec.model_copy(update={"rule": spec.rule.model_copy(update={"label": "tbptt-mine"})})
    put(store, labelled, measures=results("accuracy", 0.95, 0.5), metric="accuracy")
    rows = recommendations(Results(store.folder), 30, 10**6, "lif", SIZES).set_index("rule")["bytes"]
    assert rows["tbptt-mine"] == rows["ottt"]


def test_of_two_suites_of_lengths_the_cell_with_more_epochs_counts(store):
    for suite, epochs, accuracy in (("length", 2, 0.5), ("length-updates", 10, 0.9)):
        spec = run_spec("eprop lif adding-60", suite=suite, steps=60, epochs=epochs)
        put(store, spec, measures=results("accuracy", accuracy, 0.5), metric="accuracy")
    evidence = evidence_at(Results(store.folder), 60, "lif")["eprop"]
    assert (evidence.suite, evidence.epochs, evidence.accuracy) == ("length-updates", 10, 0.9)


def test_rules_that_fit_come_in_the_order_of_accuracy_and_those_without_evidence_last(store):
    (bptt,) = training_bytes([("bptt", {})], "lif", [96], SIZES)
    rows = recommendations(Results(store.folder), 96, bptt.memory.streamed - 1, "lif", SIZES)
    assert rows["rule"].tolist() == ["ottt", "eprop", "sltt", "bptt"]
    assert rows["fits"].tolist() == [True, True, True, False]
    assert rows["bytes"].iloc[-1] == bptt.memory.streamed
    assert rows["accuracy"].isna().tolist() == [False, False, True, False]


def test_no_rule_fits_names_the_smallest(store):
    with pytest.raises(UsageError, match="no rule trains this network in 100 B") as error:
        recommendations(Results(store.folder), 8, 100, "lif", SIZES)
    assert error.value.hint.startswith("the smallest is ")


def test_the_command_names_the_evidence(store, capsys):
    words = ["recommend", "--steps", "12", "--memory", "1MB", "--hidden", "4", "--inputs", "2", "--outputs", "2"]
    assert main([*words, "--results", str(store.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    evidence = "2 of 2 solved, median 90.5 %: adding-30, T = 30, at most 4 epochs, suite rules"
    assert lines[1].split()[0] == "ottt" and evidence in " ".join(lines[1].split())
    assert lines[-1].split()[0] == "sltt" and lines[-1].rstrip().endswith("no evidence")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory": "8"}, '"8" is not a'),
        ({"memory": "8MB", "neuron": "alf"}, 'did you mean "alif"?'),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_right(arguments, message):
    with pytest.raises(UsageError) as error:
        tt.recommend(10, **arguments)
    assert message in f"{error.value.what} {error.value.hint}"
