"""Tasks with a target at every step: targets of the window, steps without a target, and the metric over the others."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.checks.tiny import BATCH, CLASSES, STEPS, error, gradient, learn, recurrent, sequence, task_and_target
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification, Regression
from throughtime.harness.batches import evaluate
from throughtime.neurons.ltc import LTC


def test_a_row_that_asks_nothing_counts_as_zero_and_gets_no_gradient():
    y = torch.tensor([[0.0, 0.0], [3.0, -1.0]], requires_grad=True)
    loss = Classification(2, per_step=True).loss(y, torch.tensor([1, -1]))
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert torch.autograd.grad(loss, y)[0].tolist() == [[0.25, -0.25], [0, 0]]
    loss = Regression(1.0, per_step=True).loss(y, torch.tensor([[1.0, 1.0], [math.nan, math.nan]]))
    assert loss.item() == pytest.approx(2 / 4)
    assert torch.autograd.grad(loss, y)[0].tolist() == [[-0.5, -0.5], [0, 0]]


def test_a_window_that_asks_nothing_has_a_loss_of_zero():
    y = torch.randn(3, 2)
    assert Classification(2, per_step=True).loss(y, torch.full((3,), -1)) == 0
    assert Regression(1.0, per_step=True).loss(y, torch.full((3, 2), math.nan)) == 0


@pytest.mark.parametrize("kind", ["classes at steps", "values at steps"])
def test_padding_scales_the_gradient_and_changes_nothing_else(kind):
    """With four more steps without a target the mean is over T + 4 steps in place of T."""
    (task, target), (x, _) = task_and_target(kind), sequence()
    network = recurrent(LTC)
    nothing = torch.full_like(target[:4], -1 if kind == "classes at steps" else math.nan)
    padded = learn(BPTT(), network, (torch.cat([x, sequence(4, 5)[0]]), torch.cat([target, nothing])), task).total()
    plain = learn(BPTT(), network, (x, target), task).total()
    assert error([g * (STEPS + 4) / STEPS for g in padded], plain) < 1e-14


def test_windows_are_asked_for_their_own_steps_only():
    """Without credit between windows their gradients, each weighed by its share of the steps, add up."""
    (task, target), (x, _) = task_and_target("classes at steps"), sequence()
    network = recurrent(LTC)
    windows = learn(TruncatedBPTT(window=4), network, (x, target), task).gradients
    for p, gradients in enumerate(windows):
        alone = target.clone()
        alone[: 4 * p] = alone[4 * p + 4 :] = -1
        only = learn(TruncatedBPTT(window=4), network, (x, alone), task).gradients
        assert error(only[p], gradients) == 0
        assert all(float(g.abs().max()) == 0 for q, other in enumerate(only) if q != p for g in other)


def test_fptt_without_its_regulariser_is_truncated_bptt_here_too():
    (task, target), (x, _) = task_and_target("values at steps"), sequence()
    a = learn(FPTT(form="none", parts=3), recurrent(LTC), (x, target), task, rate=0.1).gradients
    b = learn(TruncatedBPTT(window=4, weights="ramp"), recurrent(LTC), (x, target), task, rate=0.1).gradients
    assert all(error(left, other) < 1e-14 for left, other in zip(a, b, strict=True))


def test_the_auxiliary_loss_wants_one_class_a_sequence():
    rule = FPTT(auxiliary="authors")
    assert "one class per sequence" in rule.supports(recurrent(LTC), Classification(CLASSES, per_step=True), STEPS)
    assert rule.supports(recurrent(LTC), Classification(CLASSES), STEPS) is None


class Steps:
    """Two batches, of two and one sequences, of 150 steps: more than evaluation unrolls at once."""

    evaluation_batch = 256

    def __init__(self, target, task):
        self.task, self.x, self.target = task, torch.rand(150, 3, 1), target

    def batches(self, split, batch):
        yield Batch(self.x[:, :2], self.target[:, :2], True)
        yield Batch(self.x[:, 2:], self.target[:, 2:], True)


class Echo(nn.Module):
    """Its output is its input, and what is left over up to 1."""

    spiking = False

    def initial_state(self, batch):
        return None

    def unroll(self, x, state):
        from throughtime.networks.base import Window

        return Window(torch.cat([x, 1 - x], 2), (), None)


def test_the_metric_is_over_the_steps_that_ask_something():
    target = torch.randint(-1, 2, (150, 3), generator=torch.Generator().manual_seed(1))
    data = Steps(target, Classification(2, per_step=True))
    right = ((data.x[..., 0] < 0.5).long() == target)[target >= 0]
    assert evaluate(Echo(), data, "test").metrics["accuracy"] == pytest.approx(right.double().mean().item())
    values = torch.rand(150, 3, 2)
    values[::3] = math.nan
    data = Steps(values, Regression(1.0, per_step=True))
    wrong = (torch.cat([data.x, 1 - data.x], 2) - values)[~values.isnan()].square().mean()
    assert evaluate(Echo(), data, "test").metrics["mse"] == pytest.approx(wrong.item(), rel=1e-6)


def test_the_gradient_is_autograds_of_the_masked_mean():
    """The loss by hand: the sum of cross-entropies at the steps with a target, over steps x batch."""
    (task, target), (x, _) = task_and_target("classes at steps"), sequence()
    network = recurrent(LTC)
    outputs = network.unroll(x, network.initial_state(BATCH)).outputs
    terms = -torch.log_softmax(outputs, 2).gather(2, target.clamp(min=0)[..., None])[..., 0]
    E = terms[target >= 0].sum() / (STEPS * BATCH)
    assert error(learn(BPTT(), network, (x, target), task).total(), gradient(E, network)) < 1e-13
