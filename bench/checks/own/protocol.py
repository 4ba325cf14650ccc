"""Facts of the protocol: splits, tested weights, modes, orders and seeds, against values worked out by hand."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.by_hand import CountedSequences, Gain, Script, Sum, WithOwnWeight, mean_square, spec
from throughtime.checks.tiny import seeded
from throughtime.datasets.task import Regression
from throughtime.errors import DivergedError, StoppedError
from throughtime.harness.batches import EVALUATION_WINDOW, evaluate, started
from throughtime.harness.build import Built, build, build_network
from throughtime.harness.clock import Clock
from throughtime.harness.one_batch import one_batch
from throughtime.harness.seeds import stream
from throughtime.numerics.precision import BFloat16Linear
from throughtime.passes.passes import train_pass
from throughtime.passes.trained import Trained
from throughtime.passes.trainer import Trainer
from throughtime.records.files import CURVE
from throughtime.registry import NETWORKS, NEURONS, Component

S = mean_square(2)
WEIGHTS = 0.0, -1.0, 0.5
"""w in three epochs: the errors are 1, 0 and 9/4 S on the validation split, and 1, 4 and 1/4 S on the test split."""
PROTOCOLS = ("mse", "mse_best_validation", "mse_validation", "mse_best_test")
RATES = {"firing_rate.layer1": 2 / 3, "firing_rate.layer2": 1 / 3}
"""Firing rates at w = 1/2 on the test split, with a mean of 1/2; at w = −1 on the validation split the mean is 5/6."""


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Yield an empty folder for a run; the caller's random numbers and standard output stay unchanged."""
    with seeded(0), tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        yield Path(folder)


def trained(
    *weights: float,
    data: CountedSequences | None = None,
    network: Sum | None = None,
    replicate: int = 0,
    batch: int = 3,
) -> Trained:
    """Train by a script of weights, one an epoch."""
    built = Built(data or CountedSequences(), network or Sum(), Script(*weights))
    with run_folder() as folder:
        return Trainer(spec(len(weights), replicate, batch), built, folder).train()


def relative(actual: float, expected: float) -> float:
    return abs(actual - expected) / (abs(expected) or 1.0)


def tested_weights(component: Component) -> Observed:
    """Return the error of both metrics on the test split, and of the epoch that is best on the validation split, for an
    error and for a metric that is better if higher."""
    errors = []
    for sign, name, task in ((1, "mse", Regression(1.0)), (-1, "gain", Gain())):
        outcome = trained(*WEIGHTS, data=CountedSequences(task))
        errors += [
            (f"last weights, {name}", relative(outcome.final.metrics[name], sign * S / 4)),
            (f"best weights, {name}", relative(outcome.best.metrics[name], sign * 4 * S)),
            (f"best epoch by {name}", float(outcome.best_epoch != 2)),
        ]
    return worst(errors, "no metric")


def recorded_numbers(component: Component) -> Observed:
    """Return the error of a record and a curve of three epochs of two batches, with w as in `WEIGHTS` after each.

    The record has the metric by each protocol, and the firing rate of the test split with the last weights; the curve
    has the metric on both splits and the firing rate of the validation split with the weights of each epoch. A loss is
    the mean over the batches of its epoch.
    """
    script = Script(2.0, 0.0, 3.0, -1.0, 4.0, 0.5)
    with run_folder() as folder:
        result = train_pass(spec(len(WEIGHTS), batch=2), Built(CountedSequences(), Sum(), script), folder)
        rows = rows_of(folder)
    expected = dict(zip(PROTOCOLS, (S / 4, 4 * S, 0.0, S / 4), strict=True))
    expected |= {"epochs_trained": 3, "loss": 2.25, "firing_rate": 1 / 2, **RATES}
    errors = [(f"record, {name}", relative(value_of(result.measures[name]), x)) for name, x in expected.items()]
    errors += [(f"{name} is better if lower", float(result.measures[name].better != "lower")) for name in PROTOCOLS]
    columns = {"validation.mse": (S, 0.0, 9 * S / 4), "test.mse": (S, 4 * S, S / 4), "firing_rate": (0, 5 / 6, 0)}
    columns |= {"epoch": (1, 2, 3), "train_loss": (1.0, 1.0, 2.25)}
    columns |= {"iteration": (2, 4, 6), "updates": (2, 4, 6), "sequences": (3, 6, 9)}
    for key, column in columns.items():
        errors += [(f"curve, {key}", relative(row[key], x)) for row, x in zip(rows, column, strict=True)]
    return worst(errors, "nothing was recorded")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / CURVE).read_text(encoding="utf-8").splitlines()]


def value_of(measure: Any) -> float:
    return float("nan") if measure.value is None else measure.value


def evaluation_mode(component: Component) -> Observed:
    """Return the error of an evaluation whose outputs differ by 100 in train mode; 1 if it leaves another mode than it
    found, also after an exception, or other random numbers."""
    with seeded(0):
        before = torch.get_rng_state()
        evaluate(Sum(noise=1.0), CountedSequences(), "test")
        errors = [("random numbers", float(not torch.equal(before, torch.get_rng_state())))]
    for training in (True, False):
        network = Sum(in_training=100.0).train(training)
        errors.append(("value", relative(evaluate(network, CountedSequences(), "test").metrics["mse"], S / 4)))
        errors.append((f"mode {training}", float(network.training is not training)))
        network.w = nn.Parameter(torch.tensor([float("nan")]))
        with contextlib.suppress(Exception):
            evaluate(network, CountedSequences(), "test")
            errors.append(("outputs that are no numbers", 1.0))
        errors.append((f"mode {training} after an exception", float(network.training is not training)))
    return worst(errors, "no mode")


def windows_of_evaluation(component: Component) -> Observed:
    """Return the error of an evaluation over several windows and batches."""
    errors = []
    for steps, batch in ((EVALUATION_WINDOW, 3), *((2 * EVALUATION_WINDOW + 1, batch) for batch in (1, 2, 3))):
        data = CountedSequences(steps=steps)
        data.evaluation_batch = batch
        mse = evaluate(Sum(), data, "test").metrics["mse"]
        errors.append((f"{steps} steps, batches of {batch}", relative(mse, mean_square(steps) / 4)))
    return worst(errors, "no batch")


def orders(component: Component) -> Observed:
    """Count epochs whose order is not the next one of the replicate's stream, for two rules and two replicates."""
    errors = []
    for replicate in (0, 1):
        generator = torch.Generator().manual_seed(stream(5, "data order", replicate))
        expected = [(torch.randperm(20, generator=generator) + 1.0).tolist() for _ in range(3)]
        for weights in ((0.0, 0.0, 0.0), (1.0, 2.0, 3.0)):
            data = CountedSequences(n=20)
            trained(*weights, data=data, replicate=replicate, batch=20)
            wrong = sum(order != right for order, right in zip(data.orders, expected, strict=True))
            errors.append((f"replicate {replicate}", float(wrong)))
    return worst(errors, "no replicate")


def streams_are_used(component: Component) -> Observed:
    """Count random numbers that do not come from the stream of their purpose and replicate: initial weights, those of
    training, those of an evaluation, and the order from which the measured batch is taken."""
    wrong = []
    for replicate in (0, 1):
        run = spec(1, replicate)
        with seeded(stream(5, "weights", replicate)):
            expected = NETWORKS["recurrent"].factory(3, 4, partial(NEURONS["lif"].factory, tau=7.0), hidden=[6])
        with seeded(0):
            built = build_network(run, 3, 4)
        pairs = zip(built.parameters(), expected.parameters(), strict=True)
        wrong += [f"weights of replicate {replicate}"] * (not all(torch.equal(p, q) for p, q in pairs))
        with seeded(0):
            started(run, Built(CountedSequences(), Sum(), Script(0.0)), 2, Clock())
            drawn = torch.rand(1)
        with seeded(stream(5, "noise", replicate)):
            wrong += [f"noise of replicate {replicate}"] * (not torch.equal(drawn, torch.rand(1)))
        with seeded(stream(5, "evaluation", replicate)):
            s_0 = torch.rand(3, 1)
        data = CountedSequences(n=20)
        one_batch(run, Built(data, Sum(), Script()))
        order = torch.Generator().manual_seed(stream(5, "data order", replicate))
        first = (torch.randperm(20, generator=order) + 1.0).tolist()
        wrong += [f"measured batch of replicate {replicate}"] * (data.orders != [first])
        network = Sum(noise=1.0)
        outcome = trained(1.0, network=network, replicate=replicate)
        s = 2 * torch.arange(1.0, 4)[:, None]
        expected_mse = float((network.w.detach() * (s_0 + s) - s).double().square().mean())
        differs = relative(outcome.final.metrics["mse"], expected_mse) > 1e-5
        wrong += [f"evaluation of replicate {replicate}"] * differs
    return Observed(len(wrong), ", ".join(wrong) or "8 streams")


def own_parameters(component: Component) -> Observed:
    """Return the error of the network's and the rule's own parameter after two updates by SGD with a rate of 1."""
    rule, network = WithOwnWeight(0.0, 1.0), Sum()
    with run_folder() as folder:
        Trainer(spec(2), Built(CountedSequences(), network, rule), folder).train()
    return worst([("w", relative(network.w.item(), 1.0)), ("b", relative(rule.b.item(), -2.0))], "no parameter")


def schedules(component: Component) -> Observed:
    """Return the error of a parameter whose gradient is always 1, after each epoch of SGD with each schedule: it moves
    by the learning rate, which is 0.8 in the first of four epochs."""
    cosine = [0.8 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    cases: tuple[tuple[dict[str, Any], list[float]], ...] = (
        ({"schedule": "constant"}, [0.8, 0.8, 0.8, 0.8]),
        ({"schedule": "cosine"}, cosine),
        ({"schedule": "cosine", "period": 2}, [0.8, 0.4, 0.0, 0.4]),
        ({"schedule": "linear"}, [0.8, 0.6, 0.4, 0.2]),
        ({"schedule": "multistep", "milestones": [1, 3], "factor": 0.5}, [0.8, 0.4, 0.4, 0.2]),
        ({"schedule": "step", "step_size": 2}, [0.8, 0.8, 0.08, 0.08]),
    )
    errors = []
    for settings, rates in cases:
        run = spec(4, learning_rate=0.8, **settings)
        with run_folder() as folder:
            Trainer(run, Built(CountedSequences(), Sum(), WithOwnWeight(*[0.0] * 4)), folder).train()
            moved = [row["b"] for row in rows_of(folder)]
        name = ", ".join(f"{setting} {value}" for setting, value in settings.items())
        errors += [(name, relative(b, -sum(rates[: k + 1]))) for k, b in enumerate(moved)]
    return worst(errors, "no schedule")


def divergence(component: Component) -> Observed:
    """Count losses that are no numbers and do not end the training at their update."""
    faults = []
    for loss in (math.inf, -math.inf, math.nan):
        try:
            trained(0.0, loss)
            faults.append(f"{loss} goes on")
        except DivergedError as error:
            faults += [] if str(error) == f"loss is {loss} at epoch 2, update 2" else [str(error)]
    return Observed(len(faults), ", ".join(faults) or "∞, −∞, NaN")


def single_samples(component: Component) -> Observed:
    """Return the error of the number of trained sequences, where the last batch of an epoch has one sequence: it counts
    unless the network's samples depend on each other."""
    errors = []
    for mixes, sequences in ((False, 6), (True, 4)):
        network = Sum()
        network.mixes_samples = mixes
        with run_folder() as folder:
            Trainer(spec(2, batch=2), Built(CountedSequences(), network, Script(*range(4))), folder).train()
            errors.append((f"samples {'mix' * mixes}", relative(rows_of(folder)[-1]["sequences"], sequences)))
    return worst(errors, "no network")


def last_batches(component: Component) -> Observed:
    """Return the error of the number of trained sequences in two epochs of 5 sequences in batches of 2: the last batch,
    of one sequence, counts unless the training drops it."""
    errors = []
    for drops, sequences in ((False, 10), (True, 8)):
        run = spec(2, batch=2, drop_last=drops)
        with run_folder() as folder:
            Trainer(run, Built(CountedSequences(n=5), Sum(), Script(*range(6))), folder).train()
            errors.append((f"drop_last {drops}", relative(rows_of(folder)[-1]["sequences"], sequences)))
    return worst(errors, "no setting")


class ReadsInput(Script):
    """The same with a loss that contains the mean of the input, so that it depends on the order of the sequences."""

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        return super().learn(x, target, t) + x.mean()


def resumed(component: Component) -> Observed:
    """Count places at which a training that stops there, and is resumed from its checkpoint, differs from one without a
    stop in its curve, its metrics or its weights. The network draws random numbers, the optimiser has a state, and each
    epoch has an order of its own."""
    run = spec(2, batch=2, optimiser="adam", learning_rate=0.1)

    def training(folder: Path, stops: int | None = None) -> list[Any]:
        """Train to the end, or up to the given check for a stop; return all numbers."""
        built, calls = Built(CountedSequences(n=5), Sum(noise=1.0), ReadsInput(*range(6))), itertools.count(1)
        outcome = Trainer(run, built, folder, lambda: next(calls) == stops).train()
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in rows_of(folder)]
        return [
            rows,
            outcome.final,
            outcome.best,
            outcome.best_epoch,
            outcome.loss,
            next(built.network.parameters()).item(),
            next(calls),
        ]

    with run_folder() as folder:
        *whole, checks = training(folder)
    differ = []
    for stops in range(1, checks):
        with run_folder() as folder:
            with contextlib.suppress(StoppedError):
                training(folder, stops)
            if training(folder)[:-1] != whole:
                differ.append(str(stops))
    return Observed(len(differ), f"stop {', '.join(differ)}" if differ else f"{checks - 1} places")


def options_of_a_run(component: Component) -> Observed:
    """Count parts of a run that are not built with the options of its spec."""
    with seeded(0):
        dataset, network, rule = build(spec(1, precision="bfloat16"))
    neuron: Any = network.layers[0].neuron
    differ = {
        "rule": getattr(rule, "K", None) != 3,
        "neuron": abs(float(neuron.alpha) - math.exp(-1 / 7)) > 1e-6,
        "network": neuron.size != 6,
        "dataset": dataset.steps != 8,
        "precision": not any(isinstance(module, BFloat16Linear) for module in network.modules()),
    }
    wrong = [name for name, differs in differ.items() if differs]
    return Observed(len(wrong), ", ".join(wrong) or f"{len(differ)} parts")


def facts() -> tuple[Fact, ...]:
    """Return the facts of the protocol."""
    return (
        Fact("the last and the best-validation weights are tested", 1e-12, tested_weights),
        Fact("record: test split, last weights; curve: validation split, each epoch", 1e-6, recorded_numbers),
        Fact("evaluation is in eval mode and restores mode and random numbers", 1e-12, evaluation_mode),
        Fact("evaluation carries the state over windows and counts each sequence", 1e-12, windows_of_evaluation),
        Fact("each epoch has an order of its own, shared by the rules of a replicate", 0, orders),
        Fact("weights, noise and evaluation are drawn from their streams", 0, streams_are_used),
        Fact("updates step the parameters of the network and of the rule", 1e-12, own_parameters),
        Fact("the learning rate follows its schedule", 1e-6, schedules),
        Fact("a NaN or infinite loss ends training as diverged", 0, divergence),
        Fact("a batch of one is skipped under batch normalisation", 0, single_samples),
        Fact("drop_last leaves out a smaller last batch", 0, last_batches),
        Fact("a run is built with the options of its spec", 0, options_of_a_run),
        Fact("a training that is stopped and resumed is the one without a stop", 0, resumed),
    )
