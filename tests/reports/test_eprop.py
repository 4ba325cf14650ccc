"""The paper `eprop`: other components miss its losses; its suites, figure and claims."""

from __future__ import annotations

import inspect

import pytest
import torch

from tests.synthetic_records import put, results, run_spec
from throughtime.harness.build import build
from throughtime.passes.passes import train_pass
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.drawing import save
from throughtime.reports.eprop import claims
from throughtime.reports.eprop import experiment as nest
from throughtime.reports.eprop.exact import ITERATIONS
from throughtime.reports.eprop.figures import draw
from throughtime.reports.papers.claims import claims_in
from throughtime.reports.papers.paper import load_paper
from throughtime.suites.suite import load_suite

PUBLISHED = {target.item: target.published for target in load_paper("eprop").file.targets}


def published(task: str) -> list[float]:
    return [PUBLISHED[f"{task}, loss of iteration {n} (NEST)"] for n in range(1, 6)]


def misses(losses: tuple[float, ...], task: str, tolerance: float) -> list[bool]:
    """Whether each loss differs from NEST's by more than the relative tolerance of NEST's test."""
    return [abs(ours / theirs - 1) > tolerance for ours, theirs in zip(losses, published(task), strict=True)]


def with_options(monkeypatch, **changed) -> None:
    """Let the rule of both tasks have other options."""
    build_rule = nest.build_rule
    monkeypatch.setattr(nest, "build_rule", lambda name, **options: build_rule(name, **{**options, **changed}))


def test_pattern_generation_misses_with_another_rate_target(monkeypatch):
    """The first loss is that of the initial weights."""
    with_options(monkeypatch, rate_target=0.0101)
    assert (
        misses(inspect.unwrap(nest.pattern_generation)(ITERATIONS), "pattern generation", 1e-8) == [False] + [True] * 4
    )


def test_two_sequences_miss_with_a_rate_of_the_batch(monkeypatch):
    with_options(monkeypatch, rate_mean="sequence")
    task = "evidence accumulation, batch 2"
    assert misses(inspect.unwrap(nest.evidence_accumulation)(2, ITERATIONS), task, 1e-6) == [False] + [True] * 4


def test_evidence_accumulation_misses_with_another_optimiser(monkeypatch):
    monkeypatch.setattr(nest, "TensorFlowAdam", torch.optim.Adam)
    result = misses(inspect.unwrap(nest.evidence_accumulation)(1, ITERATIONS), "evidence accumulation, batch 1", 1e-6)
    assert result[0] is False and result[-1]


@pytest.mark.parametrize("suite", ["eprop-evidence", "eprop-pattern"])
def test_the_suites_train_at_tiny_scale(suite, tmp_path):
    specs = load_suite(suite).expand("tiny")
    assert {spec.rule.label for spec in specs} >= {"eprop-symmetric", "eprop-random"}
    for spec in specs:
        folder = tmp_path / spec.rule.label
        folder.mkdir()
        measures = train_pass(spec, build(spec), folder).measures
        assert measures["epochs_trained"].value == spec.training.epochs
        assert 0 < (measures["firing_rate"].value or 0) < 0.3, "alive, and not at every step"


def put_run(store: Store, rule: str, replicate: int, curve: list[float], evidence: bool, epochs: int = 200) -> None:
    suite = "eprop-evidence" if evidence else "eprop-pattern"
    cell = f"{rule} alif evidence_accumulation" if evidence else f"{rule} lif pattern_generation"
    metric, chance = ("accuracy", 0.5) if evidence else ("mse", 0.4)
    put(
        store,
        run_spec(cell, replicate, suite=suite, epochs=epochs),
        curve=curve,
        metric=metric,
        measures=results(metric, curve[-1], chance),
    )


@pytest.fixture
def store(tmp_path) -> Store:
    """Random feedback: two of three runs reach an accuracy of 0.93; symmetric feedback: two runs that do. Pattern: all
    three runs end at a twentieth of the variance."""
    store = Store(tmp_path / "runs")
    for replicate, best in enumerate((0.94, 0.93, 0.92)):
        put_run(store, "eprop-random", replicate, [0.5, 0.8, best], evidence=True)
        put_run(store, "eprop-random", replicate, [0.4, 0.1, 0.02], evidence=False)
    for replicate in range(2):
        put_run(store, "eprop-symmetric", replicate, [0.5, 0.95, 0.96], evidence=True)
    return store


def test_claims_are_judged_from_the_curves(store):
    random, symmetric, bptt, pattern = (claim(Results(store.folder)) for claim in claims_in(claims))
    assert (random.word, random.lean, random.n, random.ours) == ("unclear", "neither", 3, "iterations: 30, 30, inf")
    assert (symmetric.word, symmetric.n, symmetric.ours) == ("unclear", 2, "iterations: 20, 20")
    assert symmetric.missing == "2 of 3 replicates"
    assert bptt.word == "not run here"
    assert (pattern.word, pattern.ours) == ("supported", "error / variance: 0.05, 0.05, 0.05")


@pytest.mark.parametrize(("epochs", "word"), [(50, "not supported"), (49, "unclear")])
def test_a_training_that_is_too_short_refutes_nothing(tmp_path, epochs, word):
    """No run reaches the criterion, nor the error of pattern generation; 500 iterations are 50 epochs."""
    store = Store(tmp_path / "runs")
    for replicate in range(3):
        put_run(store, "eprop-random", replicate, [0.5, 0.6], evidence=True, epochs=epochs)
        put_run(store, "eprop-random", replicate, [0.4, 0.3], evidence=False, epochs=epochs)
    answer = claims.random_feedback_accumulates(Results(store.folder))
    assert (answer.word, answer.lean) == (word, None if epochs == 50 else "against")
    assert answer.missing == ("" if epochs == 50 else "49 of 50 epochs")
    pattern = claims.random_feedback_generates(Results(store.folder))
    assert (pattern.word, pattern.lean, pattern.missing) == ("unclear", "against", f"{epochs} of 200 epochs")


def test_the_figure_has_a_panel_per_task_and_a_line_per_run(store, tmp_path):
    drawn = draw(Results(store.folder), "laptop")
    assert [panel.get_title(loc="left") for panel in drawn.figure.axes] == [
        "evidence accumulation: wrong decisions",
        "pattern generation: mean squared error",
    ]
    assert [len(panel.lines) for panel in drawn.figure.axes] == [3 + 2 + 1, 3]  # runs, and the level at which it stops
    evidence = drawn.data[(drawn.data["task"] == "eprop-evidence") & (drawn.data["rule"] == "eprop-symmetric")]
    assert evidence["value"].tolist() == pytest.approx([0.5, 0.05, 0.04] * 2)
    save(drawn, tmp_path / "out", "eprop")
    assert draw(Results(store.folder), "paper") is None
