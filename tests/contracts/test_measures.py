"""Every measure of a run: it is in docs/measuring.md, has its unit everywhere, and every name on the page exists."""

from __future__ import annotations

import ast
import fnmatch
import re
from pathlib import Path

import pytest
import torch

from tests.harness.test_training import component, spec
from throughtime.harness.build import build
from throughtime.passes.passes import run_pass
from throughtime.passes.trainer import Trainer
from throughtime.records.store import read_curve
from throughtime.registry import ALGORITHMS
from throughtime.reports.quantities import QUANTITIES, quantity
from throughtime.spec import MEASURED_ONCE, PASSES
from throughtime.suites.suite import suite_names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")
ON_CUDA = {"peak_cuda_allocated_bytes", "peak_cuda_reserved_bytes", "level_cuda_bytes"}
"""Measures that only a run on a CUDA device has."""


@pytest.fixture(scope="module")
def run():
    """FPTT, which measures something of itself, with alignment."""
    training = spec(alignment=[0, 2]).training
    return spec().model_copy(update={"rule": component(ALGORITHMS, "fptt", parts=2), "training": training})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def passes(run, folder):
    return {name: run_pass(name, run, folder) for name in PASSES}


@pytest.fixture(scope="module")
def measures(passes):
    return {name: measure for result in passes.values() for name, measure in result.measures.items()}


def documented() -> list[str]:
    """Names in the first column of the page's tables; `x.*` is every part of x."""
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_measure_is_on_the_page(measures):
    patterns = documented()
    assert [name for name in measures if not any(fnmatch.fnmatchcase(name, p) for p in patterns)] == []


def test_the_page_names_no_measure_that_is_not(measures):
    mse_measures = {name.replace("accuracy", "mse") for name in measures if name.startswith("accuracy")}
    known = {*measures, *ON_CUDA, *mse_measures, "zeroed_updates"}  # of a gradient that overflows
    assert [pattern for pattern in documented() if not fnmatch.filter(known, pattern)] == []


def test_every_measure_has_its_unit_in_the_record_and_in_a_heading(measures):
    for name, measure in measures.items():
        kind = quantity(name, measure.unit)
        assert measure.unit and measure.method, name
        assert kind.recorded == measure.unit, name
        assert measure.unit == "1" or kind.label == f"{kind.title} ({kind.unit})", name
    assert {QUANTITIES[name].recorded for name in QUANTITIES if name in ON_CUDA} == {"byte"}


def test_what_a_measuring_pass_leaves_counts_as_measured_once_a_cell(passes):
    for name, result in passes.items():
        once = {measure for measure in result.measures if measure.startswith(MEASURED_ONCE)}
        assert once == (set() if name == "train" else set(result.measures))


def test_every_experiment_that_the_page_names_exists():
    named = re.findall(r"([\w/]+\.py)::(test_\w+)", PAGE)
    assert len(named) > 40
    for file, test in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{test}"
    for suite in re.findall(r"`throughtime \w+ (\w+)`", PAGE):
        assert suite in suite_names()


def test_every_row_of_the_page_names_an_experiment_or_says_that_there_is_none():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    without = [row for row in rows if not re.search(r"\.py::test_|`throughtime |not run here|by definition", row)]
    assert len(rows) > 20 and without == []


# Numbers that no other test recomputes


def test_accuracy_is_the_share_of_right_answers_after_the_last_step(run, tmp_path):
    built = build(run)
    trained = Trainer(run, built, tmp_path).train()
    built.network.eval()
    right = total = 0
    for x, target, _ in built.dataset.batches("test", 50):
        state = built.network.initial_state(x.shape[1])
        with torch.no_grad():
            for x_t in x:
                shown, state = built.network(x_t, state)
        right += sum(int(y.argmax()) == int(t) for y, t in zip(shown.output, target, strict=True))
        total += len(target)
    assert trained.final.metrics["accuracy"] == pytest.approx(right / total)


def test_the_loss_is_that_of_the_curves_last_epoch_and_chance_that_of_the_task(folder, measures):
    assert measures["loss"].value == read_curve(folder)[-1]["train_loss"]
    assert measures["chance"].value == 1 / 10
    assert measures["compile_time"].missing == "nothing is compiled"
