"""The committed runs are read from baselines without unpacking; a user's runs replace those of their cell."""

from __future__ import annotations

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime.comparing.baselines import write_baseline
from throughtime.records.baselines import baseline_path, baselines_in, curve_lines, read_baseline
from throughtime.records.committed import CommittedStore, committed_folder
from throughtime.records.results import Results
from throughtime.records.store import Store

MEASURES = {"accuracy": measure(0.5, "fraction"), "loss": measure(1.0, "nat")}


@pytest.fixture
def baselines(tmp_path):
    """A folder with baselines of the suites a and b: three replicates of two cells each, with curves."""
    source = Store(tmp_path / "source")
    for suite in "ab":
        for label in ("bptt lif digits", "fptt lif digits"):
            for replicate in range(3):
                spec = run_spec(label, suite=suite, replicate=replicate, passes=["train"])
                put(
                    source,
                    spec,
                    metric="accuracy",
                    measures=MEASURES,
                    curve=[0.5],
                )
        runs = Results(source.folder, [suite])
        records = [runs.record(run) for run in runs.frame["id"]]
        path = baseline_path(suite, "laptop", tmp_path / "baselines")
        path.parent.mkdir(exist_ok=True)
        write_baseline(path, records, {run: runs.curve(run) for run in runs.frame["id"]})
    return tmp_path / "baselines"


def test_committed_runs_are_read_with_their_curves(baselines):
    runs = Results(CommittedStore(baselines=baselines), ["a"])
    assert list(runs.frame["suite"]) == ["a"] * 6
    assert [row["validation"] for row in runs.curve(runs.frame["id"][0])] == [0.5]
    assert runs.record(runs.frame["id"][0]).measures["accuracy"].value == 0.5
    assert len(Results(CommittedStore(baselines=baselines)).frame) == 12
    assert Results(CommittedStore(baselines=baselines), ["quick"]).frame.empty


def test_a_cell_of_a_users_folder_replaces_the_committed_one(baselines, tmp_path):
    own = Store(tmp_path / "own")
    spec = run_spec("fptt lif digits", suite="a", replicate=1)
    put(own, spec, measures={"accuracy": measure(0.9, "fraction")}, curve=[0.9])
    runs = Results(CommittedStore(own.folder, baselines), ["a", "b"])
    by_cell = runs.frame.groupby(["suite", "rule"])["accuracy"].apply(list).to_dict()
    assert by_cell == {
        ("a", "bptt"): [0.5] * 3,
        ("a", "fptt"): [0.9],
        ("b", "bptt"): [0.5] * 3,
        ("b", "fptt"): [0.5] * 3,
    }
    (own_run,) = runs.frame.loc[runs.frame["accuracy"] == 0.9, "id"]
    assert [row["validation"] for row in runs.curve(own_run)] == [0.9]


def test_the_committed_folder_has_baselines():
    assert baseline_path("quick", "laptop", committed_folder()).is_file()


@pytest.mark.parametrize("path", baselines_in(committed_folder()), ids=lambda path: path.name)
def test_each_committed_metric_has_a_direction_and_each_training_a_curve(path):
    curves = curve_lines(path)
    for record in read_baseline(path):
        trained = record.status == "ok" and "train" in record.spec.passes
        if trained:
            assert record.metric is not None, record.label
            assert record.measures[record.metric].better, record.label
            assert record.id in curves, record.label
