"""Helpers for tests of engines: a sweep of a few tiny runs in this process, and waiting for a condition."""

from __future__ import annotations

import functools
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from throughtime.records.store import Store, Stored
from throughtime.registry import isolated, load_plugin
from throughtime.running.engine import Engine
from throughtime.running.engines.local import LocalEngine
from throughtime.running.limits import Limits
from throughtime.running.plan import plan, to_run
from throughtime.running.progress import PlainProgress
from throughtime.running.rerun import differences
from throughtime.running.runner import Runner
from throughtime.suites.suite import load_suite

GATED = Path(__file__).parent / "plugins" / "gated.py"
GATED_RULE = "{{name: gated, gate: '{gate}'}}"
SUITE = """
suite: far
summary: Runs for tests of engines.
rules: [{rule}]
neurons: [lif]
networks: [{{name: recurrent, hidden: [4]}}]
datasets: [{{name: digits, steps: 8}}]
replicates: {replicates}
passes: [{passes}]
training: {{epochs: 2, batch: 128}}
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""


class Sweep:
    """A suite of one rule, its results in a folder.

    Args:
        folder: for the suite, a copy of the plugin, and results.
        rule: as the suite has it; `{gate}` stands for the path of a file.
        plugin: that the rule comes from.
    """

    def __init__(
        self, folder: Path, rule: str, passes: str = "train", replicates: int = 1, plugin: Path = GATED
    ) -> None:
        self.folder, self.gate = folder, folder / "gate"
        self.plugin = folder / plugin.name
        shutil.copyfile(plugin, self.plugin)
        load_plugin(self.plugin)
        self.suite = folder / "far.yaml"
        self.suite.write_text(SUITE.format(rule=rule.format(gate=self.gate), replicates=replicates, passes=passes))
        self.said: list[str] = []

    def planned(self, results: str):
        return plan(load_suite(self.suite).expand("tiny"), Store(self.folder / results))

    def run(self, engine: Engine, results: str = "results", planned=None, rerun="none") -> list[Stored]:
        """Make the runs that have no record; return all records, in order of the replicates."""
        store, planned = Store(self.folder / results), planned or self.planned(results)

        class Progress(PlainProgress):
            show = lambda _, line: self.said.append(line)  # noqa: E731

        Runner(store, ["throughtime"], engine, Progress(sys.stderr)).run(planned, to_run(planned, rerun))
        return store.records()

    def begun(self) -> list[int]:
        """Processes that came to the gate."""
        path = Path(f"{self.gate}.begun")
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@functools.cache
def made_here(base: Path) -> list[Stored]:
    """The records of two runs of the gated rule, made one after the other in processes of this machine; once."""
    folder = base / "here"
    folder.mkdir()
    with isolated():
        sweep = Sweep(folder, GATED_RULE, replicates=2)
        return sweep.run(LocalEngine([str(sweep.plugin)], Limits(), 1, sweep.said.append))


def counting(before: list[Stored], now: list[Stored]) -> list[str]:
    """Return the differences between two lists of records, apart from times and the like."""
    assert [s.record.label for s in before] == [s.record.label for s in now]
    result = [d for before_record, other in zip(before, now, strict=True) for d in differences(before_record, other)]
    return [f"{d.what}: {d.before} -> {d.now}" for d in result if d.counts]


def wait_for(look: Callable[[], object], seconds: float = 60) -> object:
    """Look until something is seen; return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def meanwhile(do: Callable[[], None]) -> threading.Thread:
    """Do something beside the sweep."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
