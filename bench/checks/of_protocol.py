"""Facts of the protocol: splits, tested weights, modes, orders and seeds, against values worked out by hand."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from throughtime.checks.by_hand import Gain, Script, Sequences, Sum, WithOwnWeight, mean_square, spec
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.tiny import seeded
from throughtime.datasets.task import Regression
from throughtime.harness.batches import EVALUATION_WINDOW, evaluate, started
from throughtime.harness.build import Built, build_network
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.passes.passes import train_pass
from throughtime.passes.trained import Trained
from throughtime.passes.trainer import Trainer
from throughtime.records.files import CURVE
from throughtime.registry import NETWORKS, NEURONS, Component

S = mean_square(2)
WEIGHTS = 0.0, -1.0, 1.0
"""w in three epochs: the errors are 1, 0 and 4 S on the validation split, and 1, 4 and 0 S on the test split."""


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Yield an empty folder for a run; the caller's random numbers and standard output stay unchanged."""
    with seeded(0), tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        yield Path(folder)


def trained(
    *weights: float, data: Sequences | None = None, network: Sum | None = None, replicate: int = 0, batch: int = 3
) -> Trained:
    """Train by a script of weights, one an epoch."""
    built = Built(data or Sequences(), network or Sum(), Script(*weights))
    with run_folder() as folder:
        return Trainer(spec(len(weights), replicate, batch), built, folder).train()


def relative(found: float, expected: float) -> float:
    return abs(found - expected) / (abs(expected) or 1.0)


def tested_weights(component: Component) -> Observed:
    """Return the error of both metrics on the test split, and of the epoch that is best on the validation split, for an
    error and for a metric that is better if higher."""
    found = []
    for sign, name, task in ((1, "mse", Regression(1.0)), (-1, "gain", Gain())):
        outcome = trained(*WEIGHTS, data=Sequences(task))
        found += [
            (f"last weights, {name}", relative(outcome.final.metrics[name], 0.0)),
            (f"best weights, {name}", relative(outcome.best.metrics[name], sign * 4 * S)),
            (f"best epoch by {name}", float(outcome.best_epoch != 2)),
        ]
    return worst(found, "no metric")


def recorded_numbers(component: Component) -> Observed:
    """Return the error of the metric by each protocol and of the firing rate in a record, and of the metric on both
    splits and the firing rate on the validation split in a curve."""
    with run_folder() as folder:
        result = train_pass(spec(len(WEIGHTS)), Built(Sequences(), Sum(), Script(*WEIGHTS)), folder)
        rows = [json.loads(line) for line in (folder / CURVE).read_text(encoding="utf-8").splitlines()]
    expected = {"mse": 0.0, "mse_best_validation": 4 * S, "mse_validation": 0.0, "mse_best_test": 0.0}
    expected |= {"epochs_trained": 3, "firing_rate": 2 / 3, "firing_rate.layer1": 2 / 3}
    found = [(f"record, {name}", relative(value_of(result.measures[name]), x)) for name, x in expected.items()]
    curve = {"validation.mse": (S, 0.0, 4 * S), "test.mse": (S, 4 * S, 0.0), "firing_rate": (0.0, 2 / 3, 0.0)}
    for key, each in (curve | {"epoch": (1, 2, 3)}).items():
        found += [(f"curve, {key}", relative(row[key], x)) for row, x in zip(rows, each, strict=True)]
    return worst(found, "nothing was recorded")


def value_of(measure: Any) -> float:
    return float("nan") if measure.value is None else measure.value


def evaluation_mode(component: Component) -> Observed:
    """Return the error of an evaluation whose outputs differ by 100 in train mode; 1 if it leaves another mode than it
    found, also after an exception."""
    found = []
    for training in (True, False):
        network = Sum(in_training=100.0).train(training)
        found.append(("value", relative(evaluate(network, Sequences(), "test").metrics["mse"], S / 4)))
        found.append((f"mode {training}", float(network.training is not training)))
        network.w = nn.Parameter(torch.tensor([float("nan")]))
        with contextlib.suppress(Exception):
            evaluate(network, Sequences(), "test")
            found.append(("outputs that are no numbers", 1.0))
        found.append((f"mode {training} after an exception", float(network.training is not training)))
    return worst(found, "no mode")


def windows_of_evaluation(component: Component) -> Observed:
    """Return the error of an evaluation over several windows and batches."""
    data = Sequences(steps=2 * EVALUATION_WINDOW + 1)
    found = []
    for batch in (1, 2, 3):
        data.evaluation_batch = batch
        mse = evaluate(Sum(), data, "test").metrics["mse"]
        found.append((f"batches of {batch}", relative(mse, mean_square(data.steps) / 4)))
    return worst(found, "no batch")


def orders(component: Component) -> Observed:
    """Count epochs whose order is not the next one of the replicate's stream, for two rules and two replicates."""
    found = []
    for replicate in (0, 1):
        generator = torch.Generator().manual_seed(stream(5, "data order", replicate))
        expected = [(torch.randperm(20, generator=generator) + 1.0).tolist() for _ in range(3)]
        for weights in ((0.0, 0.0, 0.0), (1.0, 2.0, 3.0)):
            data = Sequences(n=20)
            trained(*weights, data=data, replicate=replicate, batch=20)
            wrong = sum(order != one for order, one in zip(data.orders, expected, strict=True))
            found.append((f"replicate {replicate}", float(wrong)))
    return worst(found, "no replicate")


def streams_are_used(component: Component) -> Observed:
    """Count random numbers that do not come from the stream of their purpose and replicate: initial weights, those of
    training, and those of an evaluation."""
    wrong = []
    for replicate in (0, 1):
        run = spec(1, replicate)
        with seeded(stream(5, "weights", replicate)):
            expected = NETWORKS["recurrent"].factory(3, 4, NEURONS["lif"].factory, hidden=[6])
        with seeded(0):
            built = build_network(run, 3, 4)
        pairs = zip(built.parameters(), expected.parameters(), strict=True)
        wrong += [f"weights of replicate {replicate}"] * (not all(torch.equal(p, q) for p, q in pairs))
        with seeded(0):
            started(run, Built(Sequences(), Sum(), Script(0.0)), 2, Clock())
            drawn = torch.rand(1)
        with seeded(stream(5, "noise", replicate)):
            wrong += [f"noise of replicate {replicate}"] * (not torch.equal(drawn, torch.rand(1)))
        with seeded(stream(5, "evaluation", replicate)):
            s = torch.rand(3, 1)
        # The sum starts at s, so that the output at w = 1 differs from the target by s.
        outcome = trained(1.0, network=Sum(noise=1.0), replicate=replicate)
        differs = relative(outcome.final.metrics["mse"], float(s.double().square().mean())) > 1e-5
        wrong += [f"evaluation of replicate {replicate}"] * differs
    return Observed(len(wrong), ", ".join(wrong) or "6 streams")


def own_parameters(component: Component) -> Observed:
    """Return the error of the network's and the rule's own parameter after two updates by SGD with a rate of 1."""
    rule, network = WithOwnWeight(0.0, 1.0), Sum()
    with run_folder() as folder:
        Trainer(spec(2), Built(Sequences(), network, rule), folder).train()
    return worst([("w", relative(network.w.item(), 1.0)), ("b", relative(rule.b.item(), -2.0))], "no parameter")


def facts() -> tuple[Fact, ...]:
    """Return the facts of the protocol."""
    return (
        Fact("tested are the last weights and those of the best epoch on validation", 1e-12, tested_weights),
        Fact("record: test split, last weights; curve: validation split", 1e-6, recorded_numbers),
        Fact("evaluation is in eval mode and restores the mode", 1e-12, evaluation_mode),
        Fact("evaluation carries the state over windows and counts each sequence", 1e-12, windows_of_evaluation),
        Fact("each epoch has an order of its own, shared by the rules of a replicate", 0, orders),
        Fact("weights, noise and evaluation are drawn from their streams", 0, streams_are_used),
        Fact("updates step the parameters of the network and of the rule", 1e-12, own_parameters),
    )
