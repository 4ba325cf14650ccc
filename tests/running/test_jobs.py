"""Runs side by side, in any order, on several folders have the same records."""

from __future__ import annotations

import io
import os
import shutil

import pytest

from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.records.store import Store
from throughtime.running.engines.local import LocalEngine
from throughtime.running.limits import Limits
from throughtime.running.plan import plan, to_run
from throughtime.running.progress import PlainProgress
from throughtime.running.rerun import differences
from throughtime.running.runner import Runner
from throughtime.running.sweep import Request, sweeps
from throughtime.suites.suite import load_suite

SUITE = """
suite: jobs
summary: Two cells, two replicates.
rules: RULES
neurons: NEURONS
networks: [{name: recurrent, hidden: [5]}]
datasets: [{name: adding, steps: 8, sequences: 64, held_out: 20}]
replicates: 2
passes: [train, bytes]
training: {epochs: 2, batch: 32}
scales: {tiny: {}, laptop: {}, paper: {}}
"""


def suite_file(folder, rules="[bptt, {name: fptt, parts: 4}]", neurons="[{name: ltc, initial: random}]"):
    path = folder / "jobs.yaml"
    path.write_text(SUITE.replace("RULES", rules).replace("NEURONS", neurons))
    return path


def sweep(suite, folder, jobs, backwards=False):
    """Run the suite into a folder; return its records by label."""
    store = Store(folder)
    planned = plan(load_suite(suite).expand("tiny"), store)
    chosen = to_run(planned, "none")
    progress = PlainProgress(io.StringIO())
    Runner(store, ["throughtime"], LocalEngine([], Limits(), jobs, progress.show), progress).run(
        planned, chosen[::-1] if backwards else chosen
    )
    return {stored.record.label: stored for stored in store.records()}


def test_neither_the_number_of_jobs_nor_the_order_changes_a_result(tmp_path):
    suite = suite_file(tmp_path)
    alone = sweep(suite, tmp_path / "alone", jobs=1)
    beside = sweep(suite, tmp_path / "beside", jobs=3, backwards=True)
    assert len(alone) == 4 and alone.keys() == beside.keys()
    for label, stored in alone.items():
        told = [d for d in differences(stored, beside[label]) if d.counts]
        # Exact bytes are counted once a cell, on its first replicate, whatever the order.
        assert told == [], label


def test_two_folders_merge_by_copying_one_over_the_other(tmp_path):
    suite = suite_file(tmp_path, rules="[bptt]", neurons="[lif]")
    store = Store(tmp_path / "here")
    planned = plan(load_suite(suite).expand("tiny"), store)
    halves = planned[:1], planned[1:]
    for place, half in zip(("here", "there"), halves, strict=True):
        progress = PlainProgress(io.StringIO())
        engine = LocalEngine([], Limits(), 2, progress.show)
        Runner(Store(tmp_path / place), ["throughtime"], engine, progress).run(planned, half)
    shutil.copytree(tmp_path / "there", tmp_path / "here", dirs_exist_ok=True)
    merged = plan(load_suite(suite).expand("tiny"), store)
    assert [p.recorded for p in merged] == ["ok", "ok"] and to_run(merged, "none") == []
    assert len(store.records()) == 2


@pytest.mark.parametrize(("where", "begun"), [((), ["server", "suite"]), (("--cluster", "local:1"), ["suite"])])
def test_the_server_of_this_machine_imports_while_the_suite_is_read(monkeypatch, where, begun):
    order = []

    def read(suite, scale, changes):
        order.append("suite")
        raise UsageError("enough")

    monkeypatch.setattr("throughtime.running.engines.local.start_fork_server", lambda: order.append("server"))
    monkeypatch.setattr("throughtime.running.sweep.load_suite", read)
    assert main(["run", "quick", *where]) == 2
    assert order == begun


def test_by_default_there_are_as_many_jobs_as_this_process_has_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    (sweep,) = sweeps(Request(suite_file(tmp_path), "tiny", Store(tmp_path / "results")))
    assert sweep.jobs == 3
