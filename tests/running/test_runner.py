"""The runner: every way a run can end leaves a row, nothing is run twice, and an interruption loses nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import statistics
from pathlib import Path

import pytest
from filelock import FileLock

from tests.children import without_locks
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.records.provenance import versions
from throughtime.records.store import Store, read_curve
from throughtime.registry import isolated, load_plugin
from throughtime.running.engines.local import LocalEngine
from throughtime.running.limits import Limits
from throughtime.running.plan import plan, to_run
from throughtime.running.progress import PlainProgress
from throughtime.running.runner import Runner
from throughtime.suites.suite import load_suite

NONE = Limits()
FAULTY = Path(__file__).parents[1] / "plugins" / "faulty.py"
SUITE = """
suite: faults
summary: What goes wrong, each in its way.
rules: [{rules}]
neurons: [lif]
networks: [{{name: recurrent, hidden: [4]}}]
datasets: [{{name: digits, steps: 8}}]
replicates: {replicates}
passes: [{passes}]
training: {{epochs: 2, batch: 128}}
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""


@pytest.fixture(autouse=True)
def faulty_rules():
    with isolated():
        load_plugin(FAULTY)
        yield


def suite_file(folder: Path, rules: str, passes: str = "train", replicates: int = 1) -> Path:
    path = folder / "faults.yaml"
    path.write_text(SUITE.format(rules=rules, passes=passes, replicates=replicates))
    return path


def runner(
    store: Store, progress: PlainProgress, jobs: int = 1, limits: Limits = NONE, command=("throughtime",)
) -> Runner:
    return Runner(store, command, LocalEngine([str(FAULTY)], limits, jobs, progress.show), progress)


def run(folder: Path, suite: Path, rerun="none", jobs: int = 2, limits: Limits = NONE):
    """Run a suite in this process; return its records by rule and the output."""
    store = Store(folder / "results")
    planned = plan(load_suite(suite).expand("tiny"), store)
    with (folder / "out").open("w") as stream:
        command = ["throughtime", "run", str(suite)]
        runner(store, PlainProgress(stream), jobs, limits, command).run(planned, to_run(planned, rerun))
    return {s.record.spec.rule.name: s for s in store.records()}, (folder / "out").read_text()


def test_each_way_to_fail_is_a_row_with_its_status_and_reason(tmp_path):
    rules = "bptt, raises, starves, exits, is-killed, goes-nan, refuses"
    result, printed = run(tmp_path, suite_file(tmp_path, rules))
    status = {rule: stored.record.status for rule, stored in result.items()}
    assert status == {
        "bptt": "ok",
        "raises": "error",
        "starves": "oom",
        "exits": "error",
        "is-killed": "killed",
        "goes-nan": "diverged",
        "refuses": "skipped",
    }
    reason = {rule: stored.record.reason for rule, stored in result.items()}
    assert reason["raises"] == "ValueError: a weight fell off"
    assert reason["exits"] == "the process left with exit code 3 and no result"
    assert reason["is-killed"] == "ended by SIGKILL"
    assert reason["goes-nan"] == "loss is nan at epoch 2, update 0"
    assert reason["refuses"] == "it does not feel like it"
    failure = result["is-killed"].record.failure
    assert failure.exit_code == -signal.SIGKILL
    # 10 batches an epoch: the first epoch was finished, and its row of the curve is there.
    assert failure.where == "epoch 2, update 0"
    assert [row["epoch"] for row in read_curve(result["is-killed"].folder)] == [1]
    assert any("a weight fell off" in line for line in result["raises"].record.failure.log_tail)
    assert all(s.record.seconds > 0 for rule, s in result.items() if rule != "refuses")
    assert all("accuracy" not in s.record.measures for s in result.values() if s.record.status != "ok")
    for rule in rules.split(", "):
        assert rule in printed


def test_an_ok_record_says_all_that_it_should(tmp_path):
    result, _ = run(tmp_path, suite_file(tmp_path, "bptt", "train, time, memory"))
    record, folder = result["bptt"]
    measures = record.measures
    assert set(measures) >= {"accuracy", "accuracy_best_validation", "loss", "firing_rate", "training_time"}
    assert 0 <= measures["accuracy"].value <= 1
    assert 0 <= measures["firing_rate"].value <= 1
    assert measures["wall_time"].unit == "second a sequence"
    assert measures["wall_time"].value == pytest.approx(statistics.median(measures["wall_time"].samples))
    assert measures["wall_time_step"].value == pytest.approx(measures["wall_time"].value / 8)
    assert measures["peak_process_bytes"].value >= 0
    assert measures["input_bytes"].value == 8 * 128 * 8 * 4
    assert set(record.phases) == {"load", "learn", "update", "evaluate"}
    assert sum(record.phases.values()) <= measures["training_time"].value
    assert record.contended in (True, False)
    assert len(record.dataset_sha256) == 64
    assert record.metric == "accuracy"
    assert record.machine["denormals_flushed"] is True and record.machine["threads"] == 1
    assert record.code["rule"] and record.versions["torch"] and record.machine["processor"]
    assert record.command == f"throughtime run {tmp_path}/faults.yaml --only 'bptt lif digits #0' --rerun all"
    assert sorted(path.name for path in folder.iterdir()) == ["curve.jsonl", "log", "record.json"]


def test_the_log_says_what_each_pass_did(tmp_path):
    result, _ = run(tmp_path, suite_file(tmp_path, "bptt", "train, memory"))
    log = (result["bptt"].folder / "log").read_text().splitlines()
    rows, measures = read_curve(result["bptt"].folder), result["bptt"].record.measures
    start = log.index("-- train pass")
    for line, row in zip(log[start + 1 :], rows, strict=False):
        assert line.startswith(f"epoch {row['epoch']}/2  train_loss {row['train_loss']:.4g}  validation.")
        assert line.endswith(f"  {row['seconds']:.1f} s")
    assert f"accuracy {measures['accuracy'].value:.6g} fraction" in log[start:]
    assert f"peak_process_bytes {measures['peak_process_bytes'].value:.6g} byte" in log[:start]
    assert log[start - 1].startswith("memory pass: ok after ") and log[-1].startswith("train pass: ok after ")


def test_measuring_passes_run_once_a_cell_and_the_other_replicates_say_so(tmp_path):
    suite = suite_file(tmp_path, "bptt", "train, time, memory", replicates=2)
    run(tmp_path, suite)
    first, second = sorted((s.record for s in Store(tmp_path / "results").records()), key=lambda r: r.spec.replicate)
    for name in ("wall_time", "peak_process_bytes"):
        assert first.measures[name].value is not None
        assert second.measures[name].value is None
        assert second.measures[name].missing == "measured once a cell, on its first replicate"


def test_without_a_training_pass_every_replicate_is_measured(tmp_path):
    specs = load_suite(suite_file(tmp_path, "bptt", "memory", replicates=2)).expand("tiny")
    planned = plan(specs, Store(tmp_path / "results"))
    assert [p.passes for p in planned] == [["memory"], ["memory"]]


def test_a_measuring_pass_that_fails_leaves_its_numbers_missing_and_the_run_ok(tmp_path):
    # 15 batches are more than the timing pass's warm-up and at least 5; `goes-nan` fails in training, not in memory.
    result, _ = run(tmp_path, suite_file(tmp_path, "goes-nan", "train, memory"))
    record = result["goes-nan"].record
    assert record.status == "diverged" and record.measures["peak_process_bytes"].value is not None
    result, _ = run(tmp_path, suite_file(tmp_path, "exits", "train, time"))
    missing = result["exits"].record.measures["wall_time"].missing
    assert missing == "time pass error: the process left with exit code 3 and no result"


def test_the_same_seed_gives_the_same_numbers_and_rules_share_weights_and_data(tmp_path):
    suite = suite_file(tmp_path, "bptt, {name: tbptt, window: 8}")
    once, _ = run(tmp_path, suite)
    curves = {rule: read_curve(stored.folder) for rule, stored in once.items()}
    again, _ = run(tmp_path, suite, rerun="all", jobs=1)
    for rule, stored in again.items():
        for before, after in zip(curves[rule], read_curve(stored.folder), strict=True):
            assert {k: v for k, v in before.items() if k != "seconds"} == {
                k: v for k, v in after.items() if k != "seconds"
            }
    # Windows of all 8 steps: truncated BPTT equals BPTT, run by another rule from the same weights on the same batches.
    assert [row["train_loss"] for row in curves["bptt"]] == [row["train_loss"] for row in curves["tbptt"]]


def test_a_record_is_not_made_twice_unless_asked_for(tmp_path):
    suite = suite_file(tmp_path, "bptt, goes-nan")
    result, _ = run(tmp_path, suite)
    stamps = {rule: (s.folder / "record.json").stat().st_mtime_ns for rule, s in result.items()}

    def changed(rerun):
        now, _ = run(tmp_path, suite, rerun=rerun)
        return {r for r, s in now.items() if (s.folder / "record.json").stat().st_mtime_ns != stamps[r]}

    assert changed("none") == set()
    assert changed("failed") == {"goes-nan"}
    assert changed("all") == {"bptt", "goes-nan"}


def test_a_record_stays_until_its_successor_is_whole(tmp_path):
    """Two records are to be made again, one at a time; an interruption in the first leaves both old ones."""
    suite = suite_file(tmp_path, "bptt, tbptt")
    run(tmp_path, suite)
    store = Store(tmp_path / "results")
    planned = plan(load_suite(suite).expand("tiny"), store)

    class Interrupts(PlainProgress):
        def running(self, in_hand):
            raise KeyboardInterrupt

    with (tmp_path / "out").open("w") as stream, pytest.raises(KeyboardInterrupt):
        runner(store, Interrupts(stream)).run(planned, planned)
    assert [s.record.spec.rule.name for s in store.records()] == ["bptt", "tbptt"]


def test_what_a_failed_attempt_left_does_not_show_in_the_next(tmp_path):
    suite = suite_file(tmp_path, "raises")
    result, _ = run(tmp_path, suite)
    folder = result["raises"].folder
    (folder / "curve.jsonl").write_text('{"epoch": 7, "updates": 7}\n')
    result, _ = run(tmp_path, suite, rerun="failed")
    assert [row["epoch"] for row in read_curve(folder)] == [1]
    assert (folder / "log").read_text().count("-- train pass") == 1


def test_a_runner_killed_before_it_moved_a_record_has_made_it(tmp_path):
    suite = suite_file(tmp_path, "bptt")
    result, _ = run(tmp_path, suite)
    store, folder = Store(tmp_path / "results"), result["bptt"].folder
    stamp = (folder / "record.json").stat().st_mtime_ns
    folder.rename(store.work_folder("faults", folder.name))
    result, printed = run(tmp_path, suite)
    assert result["bptt"].folder == folder and (folder / "record.json").stat().st_mtime_ns == stamp
    assert "1/1" in printed and "train" not in printed


def test_a_replaced_run_that_a_killed_runner_left_does_not_come_back(tmp_path):
    suite = suite_file(tmp_path, "bptt, tbptt")
    result, _ = run(tmp_path, suite)
    store, folder = Store(tmp_path / "results"), result["bptt"].folder
    old = store.work_folder("faults", f"{folder.name}.old")
    shutil.copytree(folder, old)
    shutil.rmtree(result["tbptt"].folder)  # the next runner has work to do
    run(tmp_path, suite)
    assert [s.folder for s in store.records()] == [folder, result["tbptt"].folder] and not old.exists()


def test_a_good_pass_of_an_interrupted_run_is_not_repeated(tmp_path):
    suite = suite_file(tmp_path, "bptt", "train, memory")
    planned = plan(load_suite(suite).expand("tiny"), Store(tmp_path / "results"))
    folder = Store(tmp_path / "results").work_folder("faults", planned[0].id)
    folder.mkdir(parents=True)
    measure = {"value": 123.0, "unit": "byte", "method": "by hand"}
    left = {"measures": {"peak_process_bytes": measure}, "versions": versions()}
    (folder / "memory.json").write_text(json.dumps(left))
    result, printed = run(tmp_path, suite)
    assert result["bptt"].record.measures["peak_process_bytes"].value == 123
    assert "memory" not in printed


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_results_folder_without_locks_is_named(tmp_path, number, monkeypatch):
    suite = suite_file(tmp_path, "bptt")
    monkeypatch.setattr(fcntl, "flock", without_locks(number))
    with pytest.raises(UsageError, match=rf"results/faults: .* locked: {os.strerror(number)}\n.*--results") as caught:
        run(tmp_path, suite)
    assert "local disk" in str(caught.value)


def test_two_runners_do_not_work_on_one_suite(tmp_path):
    suite = suite_file(tmp_path, "bptt")
    (tmp_path / "results" / "faults").mkdir(parents=True)
    with FileLock(tmp_path / "results" / "faults" / ".lock"), pytest.raises(UsageError, match="another runner"):
        run(tmp_path, suite)


def test_a_run_that_another_runner_recorded_since_the_plan_is_not_repeated(tmp_path):
    suite, store = suite_file(tmp_path, "bptt"), Store(tmp_path / "results")
    planned = plan(load_suite(suite).expand("tiny"), store)
    result, _ = run(tmp_path, suite)
    with (tmp_path / "out").open("w") as stream:
        (record,) = runner(store, PlainProgress(stream)).run(planned, to_run(planned, "none"))
    assert record == result["bptt"].record and "train" not in (tmp_path / "out").read_text()


def test_what_a_killed_process_had_begun_to_write_does_not_stay(tmp_path):
    suite = suite_file(tmp_path, "bptt")
    planned = plan(load_suite(suite).expand("tiny"), Store(tmp_path / "results"))
    folder = Store(tmp_path / "results").work_folder("faults", planned[0].id)
    folder.mkdir(parents=True)
    for name in ("checkpoint.pt", "weights.pt"):
        (folder / f".{name}.77-78.tmp").write_bytes(b"PK")
    result, _ = run(tmp_path, suite)
    assert sorted(path.name for path in result["bptt"].folder.iterdir()) == ["curve.jsonl", "log", "record.json"]


def test_code_that_changes_while_the_sweep_runs_is_told(tmp_path):
    suite = suite_file(tmp_path, "bptt")
    store = Store(tmp_path / "results")
    planned = [
        p._replace(code={**p.code, "rule": "000000000000"}) for p in plan(load_suite(suite).expand("tiny"), store)
    ]
    with (
        (tmp_path / "out").open("w") as stream,
        pytest.raises(UsageError, match="the code changed while the sweep ran"),
    ):
        runner(store, PlainProgress(stream)).run(planned, planned)
    assert store.records() == []


def test_the_command_line_says_why_a_second_run_does_nothing(tmp_path, capsys):
    suite = suite_file(tmp_path, "bptt, goes-nan")
    words = ["run", suite, "--scale", "tiny", "--results", tmp_path / "results", "--plugin", FAULTY]
    words = [*map(str, words)]
    assert main(words) == 1
    capsys.readouterr()
    assert main(words) == 1, "a failure does not go away by not being tried again"
    second = capsys.readouterr().out
    assert "nothing to do: all 2 runs are recorded" in second
    assert "1 failed, `--rerun failed` repeats them" in second
    assert main([*words, "--only", "bptt lif digits #0", "--rerun", "all", "--json"]) == 0
    alone = capsys.readouterr().out
    assert [record["label"] for record in json.loads(alone)] == ["bptt lif digits #0"]
