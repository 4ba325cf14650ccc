"""Signals that reach a running sweep: what is finished stays, no process is left, nothing but the reason is printed."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.children import child
from tests.sweeps import wait_for
from throughtime.records.store import Store

FAULTY = Path(__file__).parents[1] / "plugins" / "faulty.py"
SUITE = """
suite: faults
summary: Rules that end, and one that does not.
rules: [{rules}]
neurons: [lif]
networks: [{{name: recurrent, hidden: [4]}}]
datasets: [{{name: digits, steps: 8}}]
passes: [train]
training: {{epochs: 2, batch: 128}}
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""
INTERRUPTS = """
import multiprocessing.forkserver as server, os, signal
connect = server.connect_to_new_process

def interrupted(fds):
    pipes = connect(fds)  # the child exists and waits for its arguments
    os.kill(os.getpid(), signal.SIGINT)
    return pipes

server.connect_to_new_process = interrupted
"""


def run_command(folder: Path, rules: str, plugin: Path = FAULTY) -> list[str]:
    """Write the suite; return the command that runs it into the folder `results` beside it."""
    suite = folder / "faults.yaml"
    suite.write_text(SUITE.format(rules=rules))
    words = ("run", suite, "--scale", "tiny", "--results", folder / "results", "--plugin", plugin, "--jobs", 1)
    return [sys.executable, "-m", "throughtime", *map(str, words)]


def test_ctrl_c_keeps_what_is_done_and_leaves_no_child(tmp_path):
    results = tmp_path / "results"
    with child(run_command(tmp_path, "bptt, lingers"), stderr=subprocess.PIPE, text=True) as process:
        # The record first: the curve of `bptt` has one line for a moment, too.
        wait_for(lambda: len(Store(results).records()) == 1)
        wait_for(lambda: any(p.read_text().count("\n") == 1 for p in results.glob("faults/.work/*/curve.jsonl")))
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "interrupted: finished runs are recorded" in printed and "Traceback" not in printed
    assert [s.record.spec.rule.name for s in Store(results).records()] == ["bptt"]
    assert not _children_of(tmp_path), "a child outlived the runner"


def test_ctrl_c_while_a_child_starts_prints_no_traceback_and_leaves_no_child(tmp_path):
    plugin = tmp_path / "interrupts.py"
    plugin.write_text(INTERRUPTS)
    with child(run_command(tmp_path, "bptt", plugin), stderr=subprocess.PIPE, text=True) as process:
        printed = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted: finished runs are recorded" in printed and "Traceback" not in printed
    assert not _children_of(tmp_path)


INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from throughtime.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["typer", "torch", "throughtime.running.plan", "throughtime.algorithms.bptt"])
def test_ctrl_c_before_a_sweep_begins_prints_no_traceback(name):
    words = [sys.executable, "-c", INTERRUPTED_IMPORT.format(name=name), "plan", "quick", "--scale", "tiny"]
    with child(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        printed = process.communicate(timeout=60)[0]
    assert (process.returncode, printed) == (130, "")


def test_a_killed_runner_takes_its_children_with_it(tmp_path):
    results = tmp_path / "results"
    with child(run_command(tmp_path, "lingers"), stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: list(results.glob("faults/.work/*/curve.jsonl")))
        assert _children_of(tmp_path)
        process.kill()
    wait_for(lambda: not _children_of(tmp_path))
    assert not Store(results).records()


def _children_of(folder: Path) -> list[int]:
    """Processes that have a log in this folder open."""
    result = []
    for process in Path("/proc").glob("[0-9]*"):
        opened = []
        with suppress(OSError):  # the process has ended, or is not ours
            for fd in (process / "fd").iterdir():
                with suppress(OSError):  # closed meanwhile, as what it has just written is
                    opened.append(str(fd.readlink()))
        if any(path.startswith(str(folder)) and path.endswith("/log") for path in opened):
            result.append(int(process.name))
    return result
