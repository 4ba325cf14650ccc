"""Injected faults: the output, the files afterwards, and the completion of the sweep by the next run."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.children import child
from tests.sweeps import wait_for
from throughtime import registry
from throughtime.commands.main import main
from throughtime.records.record import read_record
from throughtime.records.store import WORK, Store, read_curve
from throughtime.running import runner
from throughtime.running.engine import PassJob
from throughtime.running.engines import local, supervisor
from throughtime.running.engines.local import LocalEngine
from throughtime.running.limits import Limits
from throughtime.running.plan import plan, to_run
from throughtime.running.progress import PlainProgress
from throughtime.running.runner import Runner
from throughtime.running.status import lines, status
from throughtime.suites.suite import load_suite

ONCE = Path(__file__).parents[1] / "plugins" / "once.py"
SUITE = """
suite: faults
summary: One run that goes wrong once, one that does not.
rules: [{{name: once, how: {how}, mark: {mark}}}, bptt]
neurons: [lif]
networks: [{{name: recurrent, hidden: [4]}}]
datasets: [{{name: digits, steps: 8}}]
passes: [{passes}]
training: {{epochs: 2, batch: 128}}
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""


@pytest.fixture(autouse=True)
def once():
    with registry.isolated():
        registry.load_plugin(ONCE)
        yield


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 1.0)


class Sweep:
    """The suite of one fault in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        how: str = "raises",
        limits: Limits = Limits(),  # noqa: B008
        passes: str = "train",
    ) -> None:
        self.mark, self.store, self.limits = folder / "mark", Store(folder / "results"), limits
        self.suite = folder / "faults.yaml"
        self.suite.write_text(SUITE.format(how=how, mark=self.mark, passes=passes))
        self.out = folder / "out"

    def run(self, rerun: str = "none", jobs: int = 2):
        """Run in this process; return the records by rule."""
        planned = plan(load_suite(self.suite).expand("tiny"), self.store)
        with self.out.open("w") as stream:
            progress = PlainProgress(stream)
            engine = LocalEngine([str(ONCE)], self.limits, jobs, progress.show)
            Runner(self.store, ["throughtime"], engine, progress).run(planned, to_run(planned, rerun))
        return {s.record.spec.rule.name: s for s in self.store.records()}

    def words(self) -> list[str]:
        """Return the arguments of the command that runs the suite."""
        words = ["run", self.suite, "--scale", "tiny", "--results", self.store.folder, "--plugin", ONCE]
        return [*map(str, words)]

    def command(self, *options: object) -> list[str]:
        """Return the command in a process of its own."""
        return [sys.executable, "-m", "throughtime", *self.words(), *map(str, options)]


@pytest.mark.parametrize(
    ("how", "limits", "status", "reason"),
    [
        ("raises", Limits(), "error", "ValueError: a weight fell off"),
        ("nan", Limits(), "diverged", "loss is nan at epoch 2, update 0"),
        ("exits", Limits(), "error", "the process left with exit code 3 and no result"),
        ("is-killed", Limits(), "killed", "ended by SIGKILL"),
        ("hangs", Limits(timeout=8), "timeout", "not done after the 8 s it was given"),
        ("is-deaf", Limits(timeout=8), "timeout", "not done after the 8 s it was given"),
        ("hoards", Limits(memory=3 * 2**28), "oom", "over the limit of 768 MiB"),
        ("chats", Limits(), "error", "ValueError: hoarse"),
    ],
)
def test_a_fault_is_a_row_that_says_what_happened_and_the_next_run_mends_it(tmp_path, how, limits, status, reason):
    sweep = Sweep(tmp_path, how, limits)
    result = sweep.run()
    record, folder = result["once"].record, result["once"].folder
    assert record.status == status and reason in record.reason
    assert f"{status}  once lif digits #0: " in sweep.out.read_text() and reason in sweep.out.read_text()
    assert record.failure.where == "epoch 2, update 0"
    assert [row["epoch"] for row in read_curve(folder)] == [1]
    assert record.failure.exit_code == {"exits": 3, "is-killed": -9}.get(how, record.failure.exit_code)
    assert len(record.failure.log_tail) <= 20 and sum(map(len, record.failure.log_tail)) < 30_000
    assert result["bptt"].record.status == "ok"
    again = sweep.run("failed")
    assert {rule: s.record.status for rule, s in again.items()} == {"once": "ok", "bptt": "ok"}
    assert [row["epoch"] for row in read_curve(again["once"].folder)] == [1, 2]
    assert sorted(p.name for p in again["once"].folder.iterdir()) == ["curve.jsonl", "log", "record.json"]
    assert not list((sweep.store.folder / "faults" / WORK).iterdir())


def test_a_measuring_pass_that_is_killed_is_made_again(tmp_path):
    sweep = Sweep(tmp_path, "is-killed", passes="train, time")
    record = sweep.run()["once"].record
    assert record.status == "ok" and record.failed_passes == {}
    assert record.measures["wall_time"].value is not None
    assert "once lif digits #0: time pass was killed, and is repeated" in sweep.out.read_text()


def test_an_ok_record_that_lacks_a_pass_says_so_and_rerun_failed_makes_just_that(tmp_path, monkeypatch):
    sweep = Sweep(tmp_path, "is-killed", passes="train, time")
    monkeypatch.setattr(runner, "REPEATS", 0)
    before = sweep.run()["once"]
    assert before.record.status == "ok" and before.record.failed_passes == {"time": "killed: ended by SIGKILL"}
    assert before.record.measures["wall_time"].missing == "time pass killed: ended by SIGKILL"
    assert "time pass killed: ended by SIGKILL" in sweep.out.read_text()
    (result,) = status(sweep.store)
    assert result.incomplete == [{"label": "once lif digits #0", "passes": "time"}] and result.failed == []
    assert "1 incomplete" in lines(result)[0] and "`--rerun failed` makes it again" in lines(result)[1]
    assert main(sweep.words()) == 1, "nothing to do, but not all is well"
    assert status(sweep.store)[0].incomplete == result.incomplete, "also when an earlier sweep left it so"

    again = sweep.run("failed")["once"]
    assert sweep.out.read_text().splitlines()[0].split() == ["time", "once", "lif", "digits", "#0"]
    assert "train" not in sweep.out.read_text() and "[1/1] ok" in sweep.out.read_text()
    assert again.record.failed_passes == {} and again.record.measures["wall_time"].value is not None
    same = {"id", "status", "started", "phases", "metric", "dataset_sha256"}
    assert again.record.model_dump(include=same) == before.record.model_dump(include=same)
    assert again.record.measures["accuracy"] == before.record.measures["accuracy"]
    assert len(read_curve(again.folder)) == 2
    assert status(sweep.store)[0].incomplete == []
    assert not list((sweep.store.folder / "faults" / WORK).iterdir())


def test_no_rerun_replaces_an_ok_record_by_a_failed_one(tmp_path):
    sweep = Sweep(tmp_path, "raises")
    sweep.mark.touch()
    before = sweep.run()["once"]
    for _ in range(2):
        sweep.mark.unlink()
        assert sweep.run("all")["once"].record == before.record
        assert "error  once lif digits #0: ValueError: a weight fell off" in sweep.out.read_text()
        attempt = read_record(before.folder / "failed" / "record.json")
        assert attempt.status == "error" and attempt.id == before.record.id
        assert len(read_curve(before.folder)) == 2 and len(read_curve(before.folder / "failed")) == 1
    again = sweep.run("all")["once"]
    assert again.record.status == "ok" and again.record.started >= before.record.started
    assert sorted(p.name for p in again.folder.iterdir()) == ["curve.jsonl", "log", "record.json"]


def test_the_sweep_goes_on_with_a_new_server_when_the_one_that_children_start_from_is_killed(tmp_path):
    sweep = Sweep(tmp_path, "hangs")
    killed = []

    def kill_the_server():
        wait_for(sweep.mark.exists)
        killed.extend(local._servers())
        for server in killed:
            server.kill()

    thread = threading.Thread(target=kill_the_server)
    thread.start()
    result = sweep.run(jobs=1)
    thread.join()
    assert len(killed) == 1
    assert result["once"].record.status == "killed" and result["once"].record.reason == "ended by SIGKILL"
    assert result["bptt"].record.status == "ok"
    assert {rule: s.record.status for rule, s in sweep.run("failed").items()} == {"once": "ok", "bptt": "ok"}


def test_a_grandchild_does_not_outlive_its_run(tmp_path):
    sweep = Sweep(tmp_path, "leaves-one")
    assert sweep.run()["once"].record.status == "ok"
    grandchild = int(sweep.mark.read_text())
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def signalled(sweep: Sweep, signum: signal.Signals) -> tuple[int, bool]:
    """Run the command and signal this process twice, from when the rule is at its fault; return the exit code, and
    whether the command went on after the first. A signal outside of the command has no effect."""
    before, went_on = signal.signal(signum, lambda *_: None), []

    def send():
        wait_for(sweep.mark.exists)
        os.kill(os.getpid(), signum)
        time.sleep(0.5)
        went_on.append(not ended.is_set())
        os.kill(os.getpid(), signum)

    ended, thread = threading.Event(), threading.Thread(target=send)
    thread.start()
    try:
        code = main([*sweep.words(), "--jobs", "1"])
        ended.set()
    finally:
        thread.join()
        signal.signal(signum, before)
    return code, went_on[0]


def test_ctrl_c_twice_ends_at_once_and_keeps_what_is_done(tmp_path, monkeypatch, capfd):
    """The first gives the child time to keep a checkpoint."""
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 1000)
    sweep = Sweep(tmp_path, "is-deaf")
    assert signalled(sweep, signal.SIGINT) == (130, True)
    assert "Traceback" not in capfd.readouterr().err
    assert {rule: s.record.status for rule, s in sweep.run().items()} == {"once": "ok", "bptt": "ok"}


def test_the_second_ctrl_c_does_not_wait_for_a_child_that_does_not_listen(tmp_path, monkeypatch):
    sweep = Sweep(tmp_path, "is-deaf")
    engine = LocalEngine([str(ONCE)], Limits(), 1, print)
    planned, _ = plan(load_suite(sweep.suite).expand("tiny"), sweep.store)
    engine.start(PassJob(planned, "train", tmp_path))
    wait_for(sweep.mark.exists)
    (child,) = engine._children

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 1000)
    monkeypatch.setattr(local, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.stop()
    assert engine.at_work == [] and child.process.exitcode == -signal.SIGKILL


def test_sigterm_to_the_runner_ends_it_as_ctrl_c_does(tmp_path, capfd):
    assert signalled(Sweep(tmp_path, "hangs"), signal.SIGTERM)[0] == 128 + signal.SIGTERM
    assert "interrupted: finished runs are recorded" in capfd.readouterr().err


def test_a_full_disk_is_told_and_what_was_written_stays(tmp_path, capfd):
    """A limit on the size of files stands for the disk: records do not fit, the small files before them do. Processes
    of the passes have the limit too in tests/commands/test_cli.py."""
    sweep = Sweep(tmp_path, "raises")
    sweep.mark.touch()
    local.start_fork_server()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        assert main(sweep.words()) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert capfd.readouterr().err.splitlines()[-1].startswith("error: [Errno 27] File too large: ")
    assert sweep.store.records() == [] and sweep.store.broken == []
    assert not list(tmp_path.rglob("*.tmp"))
    assert {rule: s.record.status for rule, s in sweep.run().items()} == {"once": "ok", "bptt": "ok"}


def test_a_disk_that_is_really_full(tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("not run here: no right to mount a small disk")
    try:
        sweep = Sweep(tmp_path)
        sweep.mark.touch()
        sweep.store = Store(disk / "results")
        assert main(sweep.words()) == 1
        assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
        assert sweep.store.records() == [] and sweep.store.broken == []
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert {rule: s.record.status for rule, s in sweep.run().items()} == {"once": "ok", "bptt": "ok"}
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_results_folder_that_cannot_be_written(tmp_path, capsys):
    sweep = Sweep(tmp_path)
    sweep.store = Store("/sys/throughtime")  # not even root can make a folder there
    assert main(sweep.words()) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and "/sys/throughtime" in printed and printed.count("\n") == 1


def test_a_results_folder_that_is_removed_during_the_sweep_ends_it(tmp_path, monkeypatch, capfd):
    sweep = Sweep(tmp_path, "hangs")
    remover = threading.Thread(target=lambda: (wait_for(sweep.mark.exists), shutil.rmtree(sweep.store.folder)))
    remover.start()
    assert main([*sweep.words(), "--jobs", "1"]) == 2
    remover.join()
    said = capfd.readouterr().err
    place = sweep.store.folder / "faults"
    assert f"error: {place}: the folder was removed while the sweep ran\n  the sweep has stopped; " in said
    assert "Traceback" not in said and sweep.store.records() == []
    assert {rule: s.record.status for rule, s in sweep.run().items()} == {"once": "ok", "bptt": "ok"}


def test_a_record_cut_in_half_is_told_and_made_again(tmp_path):
    sweep = Sweep(tmp_path)
    sweep.mark.touch()
    result = sweep.run()
    path = result["bptt"].folder / "record.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert set(sweep.run()) == {"once", "bptt"}
    again, before = json.loads(path.read_text()), json.loads(whole)
    assert again["measures"]["accuracy"] == before["measures"]["accuracy"]
    assert "[1/1]" in sweep.out.read_text(), "the other record was left alone"


def test_a_clock_set_back_gives_no_negative_time_and_loses_no_run(tmp_path, monkeypatch):
    sweep = Sweep(tmp_path)
    sweep.mark.touch()
    ticks = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))
    result = sweep.run()
    assert {rule: s.record.status for rule, s in result.items()} == {"once": "ok", "bptt": "ok"}
    assert all(0 < s.record.seconds < 100 for s in result.values())
    assert sweep.run().keys() == result.keys() and "[1/" not in sweep.out.read_text()


def test_a_signal_to_the_whole_group_leaves_trainings_their_checkpoints(tmp_path):
    """Closing terminals, `timeout` and batch systems signal the whole process group."""
    sweep = Sweep(tmp_path, "hangs")
    sweep.mark.touch()
    suite = sweep.suite.read_text().replace("epochs: 2", "epochs: 2000")
    sweep.suite.write_text(suite)
    with child(sweep.command("--jobs", 1), stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        wait_for(lambda: list(sweep.store.folder.glob(f"faults/{WORK}/*/position.json")))
        os.killpg(run.pid, signal.SIGTERM)
        printed = run.communicate(timeout=60)[1]
    assert run.returncode == 128 + signal.SIGTERM
    assert "interrupted" in printed and "Traceback" not in printed
    assert list(sweep.store.folder.glob(f"faults/{WORK}/*/checkpoint.pt")) and sweep.store.records() == []


def test_a_checkpoint_of_other_data_or_libraries_is_not_gone_on_from(tmp_path, monkeypatch, capsys):
    from tests.passes.test_checkpoint import spec, stop, train
    from throughtime.passes import trainer

    stop(spec(), tmp_path, 2)
    monkeypatch.setattr(trainer, "versions", lambda: {"torch": "0.1"})
    train(spec(), tmp_path)
    assert "training starts again: ValueError: the data or a library changed since" in capsys.readouterr().out
