"""Tasks of online learning: levels recomputed by enumeration, targets recomputed from the inputs."""

import itertools
import math

import numpy as np
import pytest
import torch

from tests.datasets.test_datasets import seeded
from throughtime.datasets.online_tasks import AddDependencies, Mimic, PeriodicTarget, add_level
from throughtime.datasets.task import Distribution
from throughtime.neurons.leaky_tanh import LeakyTanh, LeakyTanhState

# --- dependencies


@pytest.mark.parametrize(
    "near, far, published", [(False, False, 0.6616), (True, False, 0.519), (False, True, 0.628), (True, True, 0.454)]
)
def test_levels_of_add_by_enumeration(near, far, published):
    """The best prediction given some symbols is the mean of p over the four equally likely pairs with these symbols."""
    pairs = [(a, b, 0.5 + 0.5 * a - 0.25 * b) for a, b in itertools.product((0, 1), repeat=2)]
    level = 0.0
    for a, b, p in pairs:
        q = np.mean([other for c, d, other in pairs if (c == a or not near) and (d == b or not far)])
        level -= sum(t * math.log(r) for t, r in ((p, q), (1 - p, 1 - q)) if t) / 4
    assert add_level(near, far) == pytest.approx(level, abs=1e-14)
    assert level == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize("hold, steps", [(1, 40), (2, 41)])
def test_add_depends_on_two_earlier_symbols(hold, steps):
    dataset = AddDependencies(steps=steps, near=3, far=5, hold=hold)
    x, y, per_step = next(dataset.batches("train", 1, seeded()))
    assert x.shape == y.shape == (steps, 1, 2) and per_step
    c = x[:, 0, 0]
    assert torch.equal(x.sum(2), torch.ones(steps, 1))
    for t in range(5 * hold, steps):
        k = t // hold
        assert c[t] == c[hold * k]
        p = 0.5 + 0.5 * c[hold * (k - 3)] - 0.25 * c[hold * (k - 5)]
        assert y[t, 0].tolist() == [p, 1 - p]
    early = [AddDependencies(steps=1).draw(1, seeded(n))[1][0, 0, 0].item() for n in range(40)]
    assert set(early) == {0.25, 0.5, 0.75, 1.0}  # the stream has begun before the sequence


def test_lags_are_in_order():
    with pytest.raises(ValueError, match="near must be less than far"):
        AddDependencies(near=4, far=4)


def test_cross_entropy_of_a_distribution_by_hand():
    task = Distribution(chance=1.0, per_step=True)
    y = torch.tensor([[0.0, math.log(3)], [1.0, 2.0]], requires_grad=True)
    target = torch.tensor([[0.5, 0.5], [math.nan, math.nan]])
    expected = -0.5 * math.log(0.25) - 0.5 * math.log(0.75)
    loss = task.loss(y, target)
    assert loss.item() == pytest.approx(expected / 2)
    gradient = torch.autograd.grad(loss, y)[0]
    assert gradient[0].tolist() == pytest.approx([-0.125, 0.125]) and gradient[1].tolist() == [0, 0]
    meter = task.meter()
    meter.update(y.detach(), target)
    assert meter.compute() == {"cross_entropy": pytest.approx(expected)}


# --- mimic


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_mimic_is_the_output_of_a_leaky_network(alpha):
    dataset = Mimic(steps=30, alpha=alpha, units=5, inputs=4, outputs=3)
    x, y, _ = next(dataset.batches("train", 1, seeded()))
    W, R, c, W_out, c_out = map(torch.tensor, dataset.teacher)
    neuron, zeros = LeakyTanh(5, alpha=alpha), torch.zeros(1, 5, dtype=torch.float64)
    state = LeakyTanhState(zeros, zeros)
    for x_t, y_t in zip(x.double(), y, strict=True):
        _, state = neuron(x_t @ W.T + c + state.z @ R.T, state)
        assert torch.allclose(state.z @ W_out.T + c_out, y_t.double(), atol=1e-6)
    assert torch.allclose(R @ R.T, torch.eye(5, dtype=torch.float64))
    assert set(x.unique().tolist()) == {0, 1}


def test_the_teacher_is_the_same_in_all_splits_and_by_its_seed():
    first, other = Mimic(steps=2), Mimic(steps=2, teacher=1)
    assert all(np.array_equal(a, b) for a, b in zip(first.teacher, Mimic(steps=50).teacher, strict=True))
    assert not np.array_equal(first.teacher.W, other.teacher.W)


def test_chance_of_mimic_is_the_error_of_a_constant():
    dataset = Mimic(steps=400)
    y = next(dataset.batches("test", 1)).target.flatten(0, 1)
    constant = dataset.task.loss(y.mean(0).expand_as(y), y)
    assert dataset.task.metric.chance == pytest.approx(constant.item(), rel=1e-5)


# --- periodic target


@pytest.mark.parametrize("steps", [9, 100])
def test_the_curve_and_its_variance(steps):
    dataset = PeriodicTarget(steps=steps)
    x, y, _ = next(dataset.batches("train", 1, seeded()))
    assert x.shape == (steps, 1, 1) and not x.any() and y[0].isnan().all()
    for t in range(1, steps):
        a = 2 * math.pi * t / steps
        assert y[t].item() == pytest.approx(math.sin(a) + math.sin(2 * a) / 2 + math.sin(4 * a) / 4, abs=1e-6)
    assert y[1:].mean().item() == pytest.approx(0, abs=1e-6)
    assert dataset.task.metric.chance == pytest.approx(y[1:].square().mean().item(), rel=1e-6)
