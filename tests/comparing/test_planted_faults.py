"""Faults planted one at a time: each is caught with the right word, and clean reruns are not.

Each fault is a plugin that the processes of a sweep's passes load. The results are compared under the gates of
`make gate` with a baseline of the clean code.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import yaml

from throughtime.commands.main import main
from throughtime.comparing.baselines import write_baseline
from throughtime.comparing.compare import Comparison, compare_results
from throughtime.comparing.sides import load_side
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.registry import isolated, load_plugin
from throughtime.running.engines.local import LocalEngine
from throughtime.running.limits import Limits
from throughtime.running.plan import plan
from throughtime.running.progress import PlainProgress
from throughtime.running.runner import Runner
from throughtime.suites.suite import load_suite

ROOT = Path(__file__).parents[2]
FAULTS = Path(__file__).parent / "faults"
ALPHA_SYNAPSE = ROOT / "docs/examples/alpha_synapse.py"
GATES = ROOT / "results/baselines/gate-tiny.gates.yaml"
SUITE = """suite: planted
summary: One cell for each place where a fault can be planted.
rules: [bptt, {{name: fptt, parts: 3}}, eprop]
neurons: [{{name: lif, tau: 2}}, alpha_synapse]
networks: [{{name: recurrent, hidden: [6]}}]
datasets: [{{name: digits, steps: 8}}]
exclude: [{{rule: [fptt, eprop], neuron: alpha_synapse}}]
seed: {seed}
threads: {threads}
passes: [train, bytes]
training: {{epochs: 3, batch: 128, learning_rate: 3e-2, alignment: [2]}}
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""
CELLS = {"bptt lif digits", "fptt lif digits", "eprop lif digits", "bptt alpha_synapse digits"}


def ran(folder: Path, *faults: Path, neuron: Path = ALPHA_SYNAPSE, seed: int = 0, threads: int = 1) -> Path:
    """Return the results of the suite; a fault acts in the processes of the passes alone."""
    suite, results = folder / "planted.yaml", folder / "results"
    suite.write_text(SUITE.format(seed=seed, threads=threads))
    plugins = [str(path) for path in (neuron, *faults)]
    with isolated():
        load_plugin(neuron)
        store = Store(results)
        planned = plan(load_suite(suite).expand("tiny"), store)
        engine = LocalEngine(plugins, Limits(), 2, print)
        Runner(store, ["throughtime"], engine, PlainProgress(sys.stdout)).run(planned, planned)
    return results


@pytest.fixture(scope="module")
def baseline(tmp_path_factory) -> Path:
    """Written from a clean run, as `baseline update` does."""
    folder = tmp_path_factory.mktemp("clean")
    results = Results.load(ran(folder))
    assert set(results.frame["status"]) == {"ok"} and (results.frame["firing_rate"] > 0.01).all(), "alive"
    write_baseline(folder / "planted-tiny.jsonl", load_side(results).records)
    return folder / "planted-tiny.jsonl"


@pytest.fixture(scope="module")
def gates(tmp_path_factory) -> Path:
    """The gates of `make gate` but for those of metrics which no cell here has."""
    absent = ("mse*", "time_over_bptt")
    entries = [gate for gate in yaml.safe_load(GATES.read_text())["gates"] if gate["metric"] not in absent]
    path = tmp_path_factory.mktemp("gates") / "gates.yaml"
    path.write_text(yaml.safe_dump({"gates": entries}))
    return path


def faults_by_cell(comparison: Comparison) -> dict[str, set[str]]:
    """Cells that fail, by verdict."""
    rows = [row for row in comparison.rows if row.severity == "fail"]
    return {row.verdict: {other.label for other in rows if other.verdict == row.verdict} for row in rows}


def metrics(comparison: Comparison, label: str) -> set[str]:
    """Metrics of a cell that fail."""
    return {row.metric for row in comparison.rows if row.severity == "fail" and row.label == label}


def test_faults_of_a_rule_or_neuron_are_found_in_its_cells_alone(baseline, gates, tmp_path):
    """A wrong sign in FPTT's λ, a graph that e-prop keeps, and a surrogate that is 5 % wider, each in its own cell."""
    right = "spike(v / self.threshold - 1, "
    text = ALPHA_SYNAPSE.read_text()
    assert right in text
    wider = tmp_path / "alpha_synapse.py"
    wider.write_text(text.replace(right, "spike((v / self.threshold - 1) / 1.05, "))
    results = ran(tmp_path, FAULTS / "wrong_sign.py", FAULTS / "kept_graph.py", neuron=wider)
    comparison = compare_results(baseline, results, gates)
    faulty = {"fptt lif digits", "eprop lif digits", "bptt alpha_synapse digits"}
    assert faults_by_cell(comparison)["worse"] == faulty == set().union(*faults_by_cell(comparison).values())
    assert all("loss" in metrics(comparison, label) for label in faulty - {"eprop lif digits"})
    eprop_metrics = metrics(comparison, "eprop lif digits")
    assert "peak_live_bytes" in eprop_metrics and all(metric.startswith("peak_live_bytes") for metric in eprop_metrics)
    assert "neuron alpha_synapse" in comparison.changed and comparison.exit_code == 1


@pytest.mark.parametrize("fault", ["lost_epoch", "dropped_batch"])
def test_fewer_updates(baseline, gates, tmp_path, fault):
    comparison = compare_results(baseline, ran(tmp_path, FAULTS / f"{fault}.py"), gates)
    assert faults_by_cell(comparison) == {"worse": CELLS} and all(
        "loss" in metrics(comparison, label) for label in CELLS
    )


def test_a_seed_that_changed_in_the_code(baseline, gates, tmp_path):
    comparison = compare_results(baseline, ran(tmp_path, FAULTS / "changed_seed.py"), gates)
    assert faults_by_cell(comparison)["worse"] == CELLS and comparison.exit_code == 1


def test_a_seed_that_changed_in_the_suite(baseline, gates, tmp_path):
    comparison = compare_results(baseline, ran(tmp_path, seed=1), gates)
    assert faults_by_cell(comparison) == {} and comparison.exit_code == 2
    rows = [row for row in comparison.rows if row.verdict == "not comparable" and row.gate]
    assert {row.label for row in rows} == CELLS and {row.reason for row in rows} == {"seed: 0 → 1"}


def test_a_rule_that_now_fails(baseline, gates, tmp_path):
    comparison = compare_results(baseline, ran(tmp_path, FAULTS / "failing_rule.py"), gates)
    assert faults_by_cell(comparison) == {"newly failing": {"fptt lif digits"}} and comparison.exit_code == 1
    assert "no gradient today" in comparison.rows[0].reason


def test_a_clean_rerun_on_two_threads_is_no_fault(baseline, gates, tmp_path):
    results = ran(tmp_path, threads=2)
    with isolated():
        load_plugin(ALPHA_SYNAPSE)
        is_clean(compare_results(baseline, results, gates))


def test_a_clean_rerun_of_another_day_from_the_command_line_is_no_fault(baseline, gates, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", time.time)  # the plugin moves the clock of this process, too
    suite, results = tmp_path / "planted.yaml", tmp_path / "results"
    suite.write_text(SUITE.format(seed=0, threads=1))
    plugins = [word for path in (ALPHA_SYNAPSE, FAULTS / "another_day.py") for word in ("--plugin", path)]
    words = ["run", suite, "--scale", "tiny", "--results", results, *plugins]
    with isolated():
        assert main([*map(str, words)]) == 0
        is_clean(compare_results(baseline, results, gates))


def is_clean(comparison: Comparison) -> None:
    assert faults_by_cell(comparison) == {} and comparison.exit_code == 0
    assert set(comparison.counts) == {"same"} and comparison.changed == {}
