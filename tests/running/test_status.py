"""`status`: the progress of a sweep, read from its files alone."""

from __future__ import annotations

import json
import os
import socket
import time

import psutil
import pytest

from throughtime.errors import UsageError
from throughtime.records.store import JOURNAL, WORK
from throughtime.running.status import lines, status

RUNS = [["a", "bptt lif digits #0", None], ["b", "bptt lif digits #1", None], ["c", "fptt lif digits #0", "ok"]]


def journal(store, *events, **began):
    """Write a journal of this process, begun 100 s ago."""
    first = {
        "event": "began",
        "command": ["throughtime", "run", "quick"],
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": psutil.Process().create_time(),
        "runs": RUNS,
        "at": time.time() - 100,
    }
    folder = store.folder / "quick"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in (first | began, *events)))


def started(run, name="train"):
    return {"event": "started", "id": run, "pass": name, "epochs": 9, "at": time.time() - 50}


def finished(run, state="ok", reason=""):
    return {"event": "finished", "id": run, "status": state, "reason": reason, "at": time.time()}


def test_only_the_runs_that_were_asked_for_are_counted(store):
    journal(store, started("a"), finished("a"), {"event": "ended", "how": "done"}, asked=["a"])
    (result,) = status(store)
    assert (result.done, result.waiting) == (1, 0) and lines(result)[0].startswith(
        "quick: 1 done, 0 running, 0 waiting"
    )


def test_a_sweep_at_work(store):
    journal(store, started("a"), finished("a"), started("b"))
    folder = store.folder / "quick" / WORK / "b"
    folder.mkdir(parents=True)
    (folder / "position.json").write_text('{"epoch": 4, "epochs": 9, "update": 70, "sequences": 1, "seconds": 2.0}')
    (result,) = status(store)
    assert (result.suite, result.done, result.waiting, result.failed, result.alive) == ("quick", 2, 0, [], True)
    (running,) = result.running
    assert (running.label, running.name, running.epoch, running.epochs) == ("bptt lif digits #1", "train", 4, 9)
    assert running.seconds == pytest.approx(50, abs=5)
    # One run took 100 s, one is left; the one that was there before says nothing of this machine today.
    assert result.seconds_left == pytest.approx(100, abs=5)
    first, second = lines(result)
    assert first.startswith("quick: 2 done, 1 running, 0 waiting, 0 failed; about 2 min left (process ")
    assert second == "  running  bptt lif digits #1: epoch 4/9, for about 50 s"


def test_measuring_passes_have_no_epoch_and_skipped_runs_give_no_pace(store):
    journal(store, finished("a", "skipped", "no"), started("b", "memory"))
    (result,) = status(store)
    assert result.skipped == 1 and result.seconds_left is None
    assert lines(result)[1] == "  running  bptt lif digits #1: memory pass, for about 50 s"


def test_failures_are_named_with_their_reasons(store):
    runs = [*RUNS, ["d", "eprop lif digits #0", "oom"]]
    journal(
        store, finished("a", "diverged", "loss is nan"), finished("b"), {"event": "ended", "how": "done"}, runs=runs
    )
    (result,) = status(store)
    assert result.alive is False and result.waiting == 0 and result.runner == "done"
    assert lines(result)[1:] == [
        "  diverged  bptt lif digits #0: loss is nan",
        "  oom  eprop lif digits #0: before this sweep",
    ]


def test_a_runner_that_is_gone_has_nothing_running(store):
    journal(store, started("a"), process_started=1.0)  # the process number belongs to another process now
    (result,) = status(store)
    assert result.alive is False and result.running == [] and result.waiting == 2
    assert result.runner.endswith("has ended: the same command continues the sweep")


def test_a_runner_on_another_machine_is_believed(store):
    journal(store, started("a"), host="elsewhere")
    (result,) = status(store)
    assert result.alive is None and len(result.running) == 1 and result.running[0].epoch is None


def test_a_line_that_is_being_written_is_left_out(store):
    journal(store, finished("a"))
    with (store.folder / "quick" / JOURNAL).open("a") as file:
        file.write('{"event": "finis')
    assert status(store)[0].done == 2


def test_no_sweep_and_no_journal_are_told(store):
    with pytest.raises(UsageError, match="no sweep was started here"):
        status(store)
    with pytest.raises(UsageError, match='no sweep of "quick"'):
        status(store, "quick")
    (store.folder / "quick").mkdir(parents=True)
    (store.folder / "quick" / JOURNAL).write_text("[]\n")
    with pytest.raises(UsageError, match='no sweep of "qiuck" was started here\n  did you mean "quick"'):
        status(store, "qiuck")
    with pytest.raises(UsageError, match="not a journal"):
        status(store)


def test_a_pass_that_is_over_is_not_running(store):
    over = {"event": "over", "id": "a", "pass": "memory", "at": time.time()}
    journal(store, started("a", "memory"), over, started("b", "time"))
    (result,) = status(store)
    assert [running.label for running in result.running] == ["bptt lif digits #1"] and result.waiting == 1


def test_lines_that_are_no_events_are_named_and_the_rest_is_shown(store):
    journal(store, finished("a"))
    path = store.folder / "quick" / JOURNAL
    deep = "[" * 100_000
    bad = ["3", '["a"]', "null", '{"event": "danced"}', '{"event": "finished", "id": "b", "status": "fine"}', deep]
    path.write_text(path.read_text() + "".join(f"{line}\n" for line in bad) + json.dumps(finished("b")) + "\n")
    (result,) = status(store)
    assert result.done == 3 and len(result.broken) == len(bad)
    assert [line.partition(": ")[0] for line in result.broken] == [f"{path}:{number}" for number in range(3, 9)]
    assert "finished.status: Input should be 'ok'" in result.broken[4]
    assert [line for line in lines(result) if line.startswith("  broken")] == [f"  broken  {b}" for b in result.broken]


def test_a_journal_that_cannot_be_read_does_not_hide_the_others(store):
    journal(store, finished("a"))
    (store.folder / "broken").mkdir()
    (store.folder / "broken" / JOURNAL).write_text("3\n")
    broken, whole = status(store)
    assert whole.done == 2 and whole.broken == []
    assert broken.suite == "broken" and broken.broken[0].startswith(f"{store.folder}/broken/{JOURNAL}: not a journal")
