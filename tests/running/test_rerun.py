"""`rerun`: one record is computed again; all differences are printed, and only unexpected ones count."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from throughtime.commands.main import app
from throughtime.errors import UsageError
from throughtime.records.record import Measure
from throughtime.records.store import Store, Stored
from throughtime.running.rerun import differences, find_record
from throughtime.running.sweep import Request

SUITE = """suite: again
summary: One run.
rules: [bptt]
neurons: [lif]
networks: [{name: recurrent, hidden: [4]}]
datasets: [{name: digits, steps: 8}]
replicates: 2
passes: [train, bytes]
training: {epochs: 2, batch: 128}
scales: {tiny: {}, laptop: {}, paper: {}}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A store with two replicates, of which the first was measured too."""
    folder = tmp_path_factory.mktemp("again")
    (folder / "again.yaml").write_text(SUITE)
    ran = invoke("run", folder / "again.yaml", "--scale", "tiny", "--results", folder / "results")
    assert ran.exit_code == 0, ran.output
    return folder / "results"


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def rows(result):
    return [row for row in json.loads(result.stdout) if row["counts"]]


def test_a_record_made_again_is_the_same(results):
    before = sorted(path for path in results.rglob("*"))
    for stored in Store(results).records():
        result = invoke("rerun", stored.record.id, "--results", results, "--json")
        assert result.exit_code == 0 and rows(result) == []
    assert sorted(path for path in results.rglob("*")) == before, "it is kept nowhere"


def test_what_differs_is_printed_and_counts(results, tmp_path):
    stored = Store(results).records()[0]
    record = json.loads((stored.folder / "record.json").read_text())
    record["measures"]["accuracy"]["value"] = 0.5
    record["measures"]["training_time"]["value"] = 99.0
    record["measures"]["peak_live_bytes.graph"]["value"] -= 4
    (tmp_path / "record.json").write_text(json.dumps(record))
    curve = [json.loads(line) for line in (stored.folder / "curve.jsonl").read_text().splitlines()]
    curve[1]["train_loss"] = 7.0
    (tmp_path / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))
    result = invoke("rerun", tmp_path, "--json")
    assert result.exit_code == 1
    told = {row["what"]: row["before"] for row in rows(result)}
    assert told["accuracy"] == "0.5" and told["learning curve, epoch 2: train_loss"] == "7.0"
    assert set(told) == {"accuracy", "peak_live_bytes.graph", "learning curve, epoch 2: train_loss"}
    assert "3 differences" in invoke("rerun", tmp_path / "record.json").stdout


def test_two_records_compared_by_hand(results):
    stored = Store(results).records()[0]
    other = stored.record.model_copy(
        update={
            "versions": {**stored.record.versions, "torch": "0.1"},
            "code": {**stored.record.code, "rule": "000000000000"},
            "measures": {"wall_time": Measure(value=1.0, unit="second a sequence", method="by hand")},
            "status": "oom",
        }
    )
    result = {d.what: d for d in differences(Stored(other, stored.folder), stored)}
    assert result["torch"].before == "0.1" and not result["torch"].counts
    assert not result["code of rule"].counts
    assert result["wall_time"].counts, "one of them was not measured at all"
    assert result["status"].counts and result["status"].now == "ok"
    assert result["accuracy"].before == "not measured" and result["accuracy"].counts


def test_no_such_record_is_told(results):
    known = Store(results).records()[0].record.id
    with pytest.raises(UsageError, match="no record") as caught:
        find_record(known[:-1] + "x", Store(results))
    assert caught.value.hint == f'did you mean "{known}"?'
    assert find_record(known, Store(results)).record.id == known
    with pytest.raises(UsageError, match="no record"):
        find_record("*", Store(results))


def test_the_recorded_command_runs_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = ["--scale", "tiny", "--results", str(tmp_path / "runs")]
    assert Request("mine.yaml", "tiny", Store("runs")).command() == [
        "throughtime",
        "run",
        str(tmp_path / "mine.yaml"),
        *ends,
    ]
    assert Request("quick", "tiny", Store("runs")).command() == ["throughtime", "run", "quick", *ends]
