"""The Python face: light to import, run from a plain script, weights loaded again as a network."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import throughtime as tt
from throughtime import source_digest
from throughtime.errors import UsageError
from throughtime.harness.seeds import stream
from throughtime.harness.weights import write_weights
from throughtime.records.code_digest import module_digest
from throughtime.records.store import Store
from throughtime.running.plan import by_cell, plan, to_run
from throughtime.suites.suite import load_suite

SUITE = """
suite: mine
summary: One run for tests of the Python face.
rules: [fptt]
neurons: [lif]
networks: [{{name: recurrent, hidden: [6]}}]
datasets: [{{name: digits, steps: 8}}]
passes: [{passes}]
keep_weights: {keep}
training: {{epochs: 3, batch: 128, learning_rate: 0.01}}
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""
SCRIPT = """
import throughtime as tt
from throughtime.algorithms.bptt import BPTT

print("the script runs", flush=True)
results = tt.run("mine.yaml", scale="tiny", results="runs", quiet=True)
print(results.frame["status"].tolist())
limited = tt.run("mine.yaml", scale="tiny", results="limited", quiet=True, set={"memory_limit": "8GiB"})
print(limited.frame["status"].tolist(), flush=True)

@tt.algorithm("own")
class Own(BPTT):
    pass

tt.run("own.yaml", "tiny", "own", quiet=True)
"""


def write_suite(folder: Path, keep: str = "true", passes: str = "train") -> Path:
    path = folder / "mine.yaml"
    path.write_text(SUITE.format(keep=keep, passes=passes))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a script without a `__main__` guard that ran a suite, with a limit on memory too, and ended with a
    component of its own; and its output."""
    folder = tmp_path_factory.mktemp("face")
    (folder / "own.yaml").write_text(write_suite(folder).read_text().replace("[fptt]", "[own]"))
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=300)
    return folder, done


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, throughtime; print({'torch', 'pandas', 'numpy', 'matplotlib'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_is_there_and_no_other():
    for name in tt.__all__:
        assert getattr(tt, name) is not None
    assert sorted(dir(tt)) == sorted(["__version__", *tt.__all__])
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        tt.lod  # noqa: B018


@pytest.mark.parametrize("room", ["algorithms", "datasets", "networks", "neurons"])
def test_packages_export_their_contract(room):
    package = importlib.import_module(f"throughtime.{room}")
    assert len(package.__all__) >= 4
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018


def test_finding_files_needs_no_torch():
    code = "import sys, throughtime.datasets.files.fetch; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_rule_that_imports_the_contract_depends_on_no_other_rule(tmp_path, monkeypatch):
    seen = []
    read = source_digest._read
    monkeypatch.setattr(source_digest, "_read", lambda path, name: seen.append(name) or read(path, name))
    monkeypatch.syspath_prepend(tmp_path)
    for name, line in (("own_rule", "algorithms import LearningRule"), ("own_dataset", "datasets import Dataset")):
        (tmp_path / f"{name}.py").write_text(f"from throughtime.{line}\n")
        module_digest(name)
    assert {"throughtime.algorithms.base", "throughtime.datasets.base"} <= set(seen)
    assert {"throughtime.algorithms.bptt", "throughtime.algorithms.tbptt", "throughtime.datasets.digits"}.isdisjoint(
        seen
    )


def test_a_script_without_a_guard_runs_once_and_may_limit_memory(finished):
    _, done = finished
    assert done.stdout.splitlines() == ["the script runs", "['ok']", "['ok']"], done.stderr


@pytest.mark.parametrize(
    "argument, said",
    [
        ({"jobs": 0}, "jobs: should be at least 1, not 0"),
        ({"jobs": -1}, "jobs: should be at least 1, not -1"),
        ({"rerun": "fail"}, 'rerun: no choice "fail"\n  did you mean "failed"?'),
        ({"scale": "tny"}, 'scale: no choice "tny"\n  did you mean "tiny"?'),
        ({"plugins": "nowhere.py"}, f"{Path('nowhere.py').resolve()}: no such plugin file"),
        ({"set": {"seed": object}}, f"set['seed']: cannot set {object!r}\n  a value as in a suite file"),
    ],
)
def test_an_argument_without_meaning_is_refused(argument, said, tmp_path):
    with pytest.raises(UsageError) as caught:
        tt.run(write_suite(tmp_path), results=tmp_path / "runs", **{"scale": "tiny", **argument})
    assert str(caught.value) == said


def test_a_run_returns_the_runs_with_its_own_settings(tmp_path):
    rates = []
    for rate in (0.01, 0.02, 0.01):
        changes = {"training.learning_rate": rate, "replicates": 1, "passes": ["train"]}
        results = tt.run(write_suite(tmp_path), "tiny", tmp_path / "runs", set=changes, quiet=True)
        rates.append([results.record(run).spec.training.learning_rate for run in results.runs])
    assert rates == [[0.01], [0.02], [0.01]]


@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf")])
def test_a_figure_has_a_width(finished, width):
    with pytest.raises(UsageError, match="width: should be above 0 and finite"):
        tt.figure(finished[0], width=width)


@pytest.mark.parametrize(
    "call",
    [lambda: tt.recommend(0, "1MB"), lambda: tt.bytes("bptt", [8, 0]), lambda: tt.bytes({"parts": 3}, 8)],
)
def test_lengths_below_1_and_rules_without_a_name_are_refused(call):
    with pytest.raises(UsageError, match=r"^steps: should be at least 1, not 0|^rules: a rule with options has a name"):
        call()


def test_a_component_of_the_script_itself_is_refused(finished):
    folder, done = finished
    assert "UsageError: __main__ has no source file" in done.stderr
    assert "move it into a file of its own, and pass that file as a plugin" in done.stderr
    assert not (folder / "own").exists()


def test_the_network_of_a_run_reproduces_its_metrics(finished):
    folder, _ = finished
    results = tt.load(folder / "runs")
    record = results.record("fptt lif digits #0")
    dataset = tt.build_dataset("digits", steps=8)
    seed = stream(record.spec.seed, "evaluation", record.spec.replicate)
    result = {
        which: tt.evaluate(tt.load_network(results, record.id, which), dataset, "test", seed).metrics["accuracy"]
        for which in ("final", "best_validation")
    }
    assert result["final"] == record.measures["accuracy"].value
    assert result["best_validation"] == record.measures["accuracy_best_validation"].value
    weights = torch.load(results.run_folder(record.id) / "weights.pt", weights_only=True)
    assert weights.keys() == {"final", "best_validation"}
    with pytest.raises(UsageError, match='no split "tset"\\n  did you mean "test"'):
        tt.evaluate(tt.load_network(results, record.id), dataset, "tset")
    with pytest.raises(UsageError, match='no weights "best"\\n  there is: best_validation, final'):
        tt.load_network(results, record.id, "best")


def test_weights_best_on_validation_are_kept_and_loaded_beside_the_last(finished, tmp_path):
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    results = tt.load(tmp_path / "runs")
    last = tt.load_network(results, "fptt lif digits #0").state_dict()
    best = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in last.items()}
    write_weights(results.run_folder("fptt lif digits #0"), last, best)
    for which, expected in (("final", last), ("best_validation", best)):
        loaded = tt.load_network(results, "fptt lif digits #0", which).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


def test_the_random_numbers_of_the_caller_go_on(finished, tmp_path):
    folder, _ = finished
    torch.manual_seed(8)
    before = torch.get_rng_state()
    tt.load_network(folder / "runs", "fptt lif digits #0")
    assert torch.equal(torch.get_rng_state(), before)
    tt.run(write_suite(tmp_path), "tiny", folder / "runs", quiet=True)  # has its record already
    assert torch.equal(torch.get_rng_state(), before)
    tt.check("rnn")
    assert torch.equal(torch.get_rng_state(), before)


def test_frames_and_figures_of_a_folder(finished, tmp_path):
    folder, _ = finished
    row = tt.table(folder / "runs").iloc[0]
    assert (row["rule"], row["measure"], row["n"]) == ("fptt", "accuracy", 1)
    drawn = tt.figure(folder / "runs", out=tmp_path)
    assert list(drawn) == ["mine-tiny-curves"] and (tmp_path / "mine-tiny-curves.svg").exists()
    assert drawn["mine-tiny-curves"]._repr_png_().startswith(b"\x89PNG")


def test_keeping_weights_changes_no_id_and_a_record_without_them_is_made_again(finished, tmp_path):
    folder, _ = finished
    (kept,) = load_suite(write_suite(tmp_path)).expand("tiny")
    (plain,) = load_suite(write_suite(tmp_path, keep="false")).expand("tiny")
    assert kept.keep_weights and not plain.keep_weights and kept.id({}) == plain.id({})
    store = Store(folder / "runs")
    assert [planned.recorded for planned in plan([kept, plain], store)] == ["ok", "ok"]
    weights = next(store.folder.glob("mine/*/weights.pt"))
    content = weights.read_bytes()
    weights.unlink()
    try:
        without = plan([kept, plain], store)
        assert [planned.recorded for planned in without] == [None, "ok"]
        assert to_run(without, "none") == without[:1]
        assert [cell.fate for cell in by_cell(without)] == ["run again: its weights were not saved", "done"]
        with pytest.raises(UsageError, match="were not saved"):
            tt.load_network(folder / "runs", kept.label)
    finally:
        weights.write_bytes(content)


def test_keeping_weights_needs_a_training(tmp_path):
    with pytest.raises(UsageError, match=r'mine.yaml:9:15: "keep_weights" needs the pass "train"'):
        load_suite(write_suite(tmp_path, passes="bytes"))


def test_changes_of_a_suite_are_a_mapping(tmp_path):
    suite, changes = write_suite(tmp_path), {"training.alignment": [3], "training.epochs": 2}
    with pytest.raises(UsageError, match='"alignment" has epoch 3; at the scale "tiny" the last epoch is 2'):
        tt.run(suite, "tiny", tmp_path / "runs", set=changes)
    with pytest.raises(UsageError) as caught:
        tt.run(suite, "tiny", tmp_path / "runs", set={"training.epochs": "two"})
    assert caught.value.where == '--set training.epochs="two"'
    with pytest.raises(UsageError) as caught:
        tt.run(suite, "tiny", tmp_path / "runs", set={"training.epochs": np.float32(0.5)})
    assert caught.value.where == "--set training.epochs=0.5", "numbers of NumPy are written as JSON"


def test_check_takes_the_name_of_one_plugin():
    with pytest.raises(UsageError, match=r"nowhere\.py: no such plugin file"):
        tt.check("digits", plugins="nowhere.py")


def test_check_gives_a_row_a_fact():
    result = tt.check("digits")
    assert set(result["verdict"]) <= {"holds", "does not apply"} and len(result) > 3
