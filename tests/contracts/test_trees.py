"""Tasks whose targets and outputs are no single tensor: one training by the harness, and runs from a suite."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.harness.test_training import component
from throughtime.algorithms.bptt import BPTT
from throughtime.checks import assert_sound
from throughtime.checks.tiny import error
from throughtime.commands.main import main
from throughtime.harness.batches import evaluate, learn_batch, started
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.one_batch import one_batch
from throughtime.measuring import process_growth
from throughtime.measuring.exact_memory import exact_memory
from throughtime.numerics.trees import tensors
from throughtime.passes.trainer import Trainer
from throughtime.records.store import Store, read_curve
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS, load_plugin
from throughtime.spec import RunSpec, Training

PLUGIN = Path(__file__).parents[1] / "plugins" / "trees.py"
RULES = {"bptt": {}, "tbptt": {"window": 5}, "fptt": {"parts": 3}}
METRICS = {"chords": ["nll", "frame_accuracy"], "boxes": ["iou"], "two_targets": ["accuracy", "mse"]}
EVERY = {"bptt": {"loss_at": "every"}, "tbptt": {"window": 1, "loss_at": "every"}, "rtrl": {}}


@pytest.fixture(autouse=True)
def plugin(isolated_registries):
    load_plugin(PLUGIN)


def spec(rule: str, dataset: str, options: dict, hidden: int = 12, steps: int = 12, **training) -> RunSpec:
    heads = dataset == "two_targets"
    network = component(NETWORKS, *(("two_heads",) if heads else ("recurrent",)), hidden=hidden if heads else [hidden])
    return RunSpec(
        suite="test",
        scale="tiny",
        rule=component(ALGORITHMS, rule, **options),
        neuron=component(NEURONS, "lif", tau=4.0),
        network=network,
        dataset=component(DATASETS, dataset, steps=steps),
        training=Training(**{"epochs": 1, "batch": 16, "learning_rate": 1e-2, "alignment": [0], **training}),
        passes=["train"],
        replicate=0,
        seed=5,
    )


@pytest.mark.parametrize("dataset", METRICS)
@pytest.mark.parametrize("rule", RULES)
def test_an_epoch_of_training(rule, dataset, tmp_path):
    run = spec(rule, dataset, RULES[rule], epochs=2)
    built = build(run)
    initial = [p.detach().clone() for p in built.network.parameters()]
    outcome, rows = Trainer(run, built, tmp_path).train(), read_curve(tmp_path)
    names = METRICS[dataset]
    assert list(outcome.final.metrics) == list(outcome.best.metrics) == names
    for row in rows:
        assert [name for name in row if name.startswith("validation")] == [f"validation.{name}" for name in names]
    assert rows[2]["train_loss"] < rows[1]["train_loss"], "it learns"
    assert not any(map(torch.equal, built.network.parameters(), initial))
    cosine = outcome.aligned["alignment_cosine.all"]
    assert cosine.missing is None and 0 < cosine.value < 1 + 1e-6
    assert rule != "bptt" or cosine.value == pytest.approx(1)


@pytest.mark.parametrize(("rule", "dataset"), [(rule, data) for data in METRICS for rule in EVERY])
def test_other_places_of_the_loss(rule, dataset):
    """The loss at every step repeats targets of sequences; the mean over steps is that of single steps."""
    run = spec(rule, dataset, EVERY[rule], hidden=3, steps=4)
    built = build(run)
    batch = one_batch(run, built).first(5)
    loss = float(learn_batch(built.rule, batch, started(run, built, 4, Clock())))
    fresh = build(run)
    with torch.no_grad():
        state, losses = fresh.network.initial_state(5), []
        for t in range(4):
            part = batch.window(t, 1)
            window = fresh.network.unroll(part.x, state)
            state, target = window.state, batch.window(t, 1).target
            losses.append(float(built.dataset.task.loss(window.last(), target[0] if part.per_step else target)))
    expected = losses[-1] if rule == "rtrl" and not batch.per_step else sum(losses) / 4
    assert loss == pytest.approx(expected, rel=1e-4 if rule != "tbptt" else 0.2)


@pytest.mark.parametrize("dataset", METRICS)
def test_exact_bytes_count_every_part_of_the_target(dataset):
    run = spec("bptt", dataset, {})
    built = build(run)
    batch = one_batch(run, built)
    memory = exact_memory(run, built, batch)
    counted = sum(t.numel() * t.element_size() for t in tensors((batch.x, batch.target)))
    assert memory.owned["input"] == counted == batch.nbytes
    assert memory.peak > counted and memory.streamed <= memory.peak


@pytest.mark.parametrize("dataset", METRICS)
def test_the_memory_pass_warms_up_on_two_sequences(dataset):
    run = spec("tbptt", dataset, {"window": 5})
    result = process_growth.growth_measures(run, build(run))
    inputs = 88 if dataset == "chords" else 4
    assert result["peak_process_bytes"].value >= 0 and result["input_bytes"].value == 12 * 16 * inputs * 4


def test_bptt_of_two_heads_is_autograd_of_the_sum_of_their_losses():
    run = spec("bptt", "two_targets", {})
    built = build(run)
    batch = one_batch(run, built)
    rule, network, gradients = BPTT(), built.network, []
    rule.start(network, built.dataset.task, 12)
    learn_batch(rule, batch, lambda: gradients.extend(p.grad.clone() for p in network.parameters()))
    outputs = network.unroll(batch.x, network.initial_state(16)).outputs
    E = torch.nn.functional.cross_entropy(outputs["kind"][-1], batch.target["kind"])
    E = E + (outputs["sum"][-1] - batch.target["sum"]).square().mean()
    assert error(gradients, torch.autograd.grad(E, list(network.parameters()))) < 1e-6


def test_metrics_by_hand():
    meter = DATASETS["chords"].factory().task.meter()
    meter.update(torch.tensor([[1.0, -1.0, 1.0]]), torch.tensor([[1.0, 1.0, 0.0]]))  # one right, one missed, one extra
    meter.update(torch.tensor([[-1.0, -1.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0]]))  # one right
    result = meter.compute()
    assert result["frame_accuracy"] == 2 / 4, "of all pairs together: a mean of the rows' would be 2/3"
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert result["nll"] == pytest.approx((4 * right + 2 * wrong) / 2)


def test_the_metric_of_a_list_is_over_its_sequences():
    data = DATASETS["boxes"].factory()
    data.evaluation_batch = 3  # of 8 sequences

    class First(torch.nn.Module):
        """Its output is the largest input so far of each sequence: with one box, the box itself."""

        spiking = False

        def initial_state(self, batch):
            return torch.zeros(batch, 4)

        def unroll(self, x, state):
            from throughtime.networks.base import Window

            outputs = torch.cat((state[None], x)).cummax(0).values[1:]
            return Window(outputs, (), outputs[-1])

    (whole,) = data.batches("test", 100)
    boxes = whole.target
    largest = [b.max(0).values for b in boxes]
    areas = [[overlap(y, box) for box in b] for y, b in zip(largest, boxes, strict=True)]
    expected = sum(map(max, areas)) / 8
    assert {len(b) for b in boxes} == {1, 2, 3} and 0 < expected < 1
    assert evaluate(First(), data, "test").metrics["iou"] == pytest.approx(expected, rel=1e-5)


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Intersection over union of two boxes, by plain arithmetic."""
    (l, t, r, d), (L, T, R, D) = a.tolist(), b.tolist()
    both = max(0.0, min(r, R) - max(l, L)) * max(0.0, min(d, D) - max(t, T))
    return both / ((r - l) * (d - t) + (R - L) * (D - T) - both)


@pytest.mark.parametrize("dataset", METRICS)
def test_the_datasets_are_sound(dataset):
    assert_sound(dataset)


SUITE = """
suite: trees
summary: Targets and outputs that are no single tensor.
rules: [{{name: fptt, parts: 4}}]
neurons: [lif]
networks: [{network}]
datasets: [{dataset}]
passes: [{passes}]
training: {{epochs: 1, batch: 16}}
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""
RUNS = {
    "chords": ("{name: recurrent, hidden: [8]}", "train"),
    "boxes": ("{name: recurrent, hidden: [8]}", "train, bytes, memory"),
    "two_targets": ("{name: two_heads, hidden: 8}", "train"),
}


@pytest.mark.parametrize("dataset", RUNS)
def test_a_plugin_runs_from_a_suite_and_its_metrics_are_in_tables(dataset, tmp_path, capsys):
    network, passes = RUNS[dataset]
    path = tmp_path / "trees.yaml"
    path.write_text(SUITE.format(network=network, dataset=dataset, passes=passes))
    results = ["--results", str(tmp_path / "results")]
    assert main(["run", str(path), "--scale", "tiny", *results, "--plugin", str(PLUGIN)]) == 0
    headline, *further = METRICS[dataset]
    shown = capsys.readouterr()
    assert f"  {headline} " in shown.out + shown.err, "a line of progress shows the headline metric, whatever it is"
    (record,) = (stored.record for stored in Store(tmp_path / "results").records("trees"))
    assert record.status == "ok" and record.metric == headline
    task = DATASETS[dataset].factory().task
    for metric in task.metrics:
        assert record.measures[metric.name].unit == metric.unit
        assert record.measures[metric.name].value is not None
        assert record.measures[f"{metric.name}_best_validation"].unit == metric.unit
        assert main(["table", "trees", "--measure", metric.name, *results]) == 0
        assert "lif" in capsys.readouterr().out
    assert ("chance" in record.measures) == (task.metric.chance is not None)
    assert not further or further[0] in record.measures
