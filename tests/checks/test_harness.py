"""Faults of the harness, one each: the fact of `check harness` that must find it does."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from throughtime.checks.fact import evaluate
from throughtime.checks.own.harness import facts
from throughtime.checks.run import HARNESS
from throughtime.commands.main import main
from throughtime.harness import batches, seeds, updater
from throughtime.measuring import activity
from throughtime.numerics import adamax
from throughtime.passes.trainer import Trainer

UPDATES, LOSS, STREAMS, TESTED, RECORDED, MODE, WINDOWS, ORDERS, USED, OWN, *REST = [f.name for f in facts(HARNESS)]
RATES, DIVERGED, SINGLE, DROPPED, OPTIONS, RESUMED = REST


def clip_each_alone(gradients, largest):
    for g in gradients:
        g.mul_(min(1.0, largest / (float(g.norm()) + 1e-6)))


def clip_up(gradients, largest):
    norm = float(torch.stack([g.norm() for g in gradients]).norm())
    for g in gradients:
        g.mul_(largest / (norm + 1e-6))


def clip_without_1e_6(gradients, largest):
    norm = float(torch.stack([g.norm() for g in gradients]).norm())
    for g in gradients:
        g.mul_(min(1.0, largest / norm))


right_step = adamax.Adamax.step


def bias_correction_off_by_one(self, closure=None):
    fresh = not self.state
    right_step(self, closure)
    for state in self.state.values() if fresh else ():
        state["step"] += 1


right_loss = batches.learn_batch


def summed(rule, batch, update):
    return right_loss(rule, batch, update) * len(rule.windows(batch.steps))


def mean_over_all_windows(rule, batch, update):
    reported = sum(loss is not None for loss in rule.reports)
    return right_loss(rule, batch, update) * reported / len(rule.reports)


right_evaluation, right_batches = batches.evaluate, Trainer._batches


def on_validation(network, dataset, split, seed=0):
    return right_evaluation(network, dataset, "validation", seed)


def left_in_eval_mode(network, dataset, split, seed=0):
    found = right_evaluation(network, dataset, split, seed)
    network.eval()
    return found


def without_state(network, batch):
    state = network.initial_state(batch.sequences)
    steps = batches.evaluation_window(state)
    for t in range(0, batch.steps, steps):
        part = batch.window(t, steps)
        yield part, network.unroll(part.x, state), t + steps >= batch.steps


def measured_on_validation(network, dataset):
    return activity.measure(network, dataset, "validation")


def same_order(self):
    self.order.set_state(torch.Generator().manual_seed(seeds.stream(5, "data order", self.spec.replicate)).get_state())
    return right_batches(self)


def with_single_samples(self):
    self.built.network.mixes_samples = False
    return right_batches(self)


def with_smaller_batches(self):
    self.spec = self.spec.model_copy(update={"training": self.spec.training.model_copy(update={"drop_last": False})})
    return right_batches(self)


right_end = updater.Updater.end_epoch


def an_epoch_late(self):
    if getattr(self, "called_before", False):
        right_end(self)
    self.called_before = True


@pytest.mark.parametrize(
    "fact, path, broken",
    [
        (UPDATES, "throughtime.harness.updater.clip", clip_each_alone),
        (UPDATES, "throughtime.harness.updater.clip", clip_up),
        (UPDATES, "throughtime.harness.updater.clip", clip_without_1e_6),
        (UPDATES, "throughtime.numerics.adamax.Adamax.step", bias_correction_off_by_one),
        (LOSS, "throughtime.checks.own.harness.learn_batch", summed),
        (LOSS, "throughtime.checks.own.harness.learn_batch", mean_over_all_windows),
        (STREAMS, "throughtime.checks.own.harness.stream", lambda base, purpose, n: seeds.stream(base, purpose, 0)),
        (STREAMS, "throughtime.checks.own.harness.stream", lambda base, purpose, n: seeds.stream(base, "weights", n)),
        (TESTED, "throughtime.passes.trainer.evaluate", on_validation),
        (TESTED, "throughtime.passes.trainer.copy", SimpleNamespace(deepcopy=lambda weights: weights)),
        (RECORDED, "throughtime.passes.passes.activity", SimpleNamespace(measure=measured_on_validation)),
        (RECORDED, "throughtime.passes.trainer.evaluate", on_validation),
        (MODE, "throughtime.checks.own.protocol.evaluate", left_in_eval_mode),
        (MODE, "throughtime.checks.own.by_hand.Sum.eval", lambda network: network),
        (WINDOWS, "throughtime.harness.batches.unrolled", without_state),
        (ORDERS, "throughtime.passes.trainer.Trainer._batches", same_order),
        (USED, "throughtime.harness.build.stream", lambda base, purpose, n: seeds.stream(base, "data order", n)),
        (USED, "throughtime.passes.trainer.stream", lambda base, purpose, n: seeds.stream(base, purpose, 0)),
        (OWN, "throughtime.harness.batches.Updater", lambda parameters, *rest: updater.Updater(parameters[:1], *rest)),
        (RATES, "throughtime.harness.updater.Updater.end_epoch", an_epoch_late),
        (DIVERGED, "throughtime.passes.trainer.math", SimpleNamespace(inf=math.inf, isfinite=lambda x: x == x)),
        (SINGLE, "throughtime.passes.trainer.Trainer._batches", with_single_samples),
        (DROPPED, "throughtime.passes.trainer.Trainer._batches", with_smaller_batches),
        (OPTIONS, "throughtime.harness.build.in_precision", lambda network, precision: network),
        (RESUMED, "torch.set_rng_state", lambda state: None),
    ],
)
def test_the_fact_finds_the_fault(fact, path, broken, monkeypatch):
    (chosen,) = [each for each in facts(HARNESS) if each.name == fact]
    assert evaluate(chosen, HARNESS).verdict == "holds"
    monkeypatch.setattr(path, broken)
    found = evaluate(chosen, HARNESS)
    assert found.verdict == "fails" and found.value is not None, found


def test_clipping_is_torchs_on_tensors_of_any_kind():
    """The operations that take the compiled loop's place, on gradients that no loop may take."""
    ours = [torch.full((3, 2), 4.0, dtype=torch.float64).t()]
    theirs = torch.nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))
    theirs.grad = ours[0].clone()
    torch.nn.utils.clip_grad_norm_([theirs], 1.5)
    updater.clip(ours, 1.5)
    assert float((ours[0] - theirs.grad).abs().max()) < 1e-12


def test_the_command_checks_the_harness_by_name(capsys):
    assert main(["check", "harness", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["fact"] for row in rows] == [fact.name for fact in facts(HARNESS)]
