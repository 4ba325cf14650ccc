"""Smooth random manifolds: a coordinate worked by hand, one spike an input, numbers of spikes, manifolds that stay."""

import math

import pytest
import torch

from throughtime.datasets.randman import Randman
from throughtime.registry import DATASETS


def test_a_coordinate_by_hand():
    """One dimension, two frequencies: only k = 1 counts, a / 2^β sin(2π (x b + c))."""
    data = Randman(classes=2, units=1, dimension=1, smoothness=10.0)
    a, b, c = data.manifold(0)[0, 0, :, 1].tolist()
    y = float(data.points(torch.tensor([[0.3]]), 0))
    assert y == pytest.approx(a / 2**10 * math.sin(2 * math.pi * (0.3 * b + c)), rel=1e-5)


def test_an_input_has_one_spike_or_as_many_as_its_step():
    times, numbers = (next(Randman(code=code, smoothness=3.0).batches("validation", 20)) for code in ("time", "rate"))
    assert times.target.tolist() == numbers.target.tolist()
    assert (times.x.sum(0) == 1).all() and times.x.shape == (50, 20, 50)
    assert (numbers.x.sum(0) == times.x.argmax(0) + 1).all()
    assert not (numbers.x[:-1] >= numbers.x[1:]).all(), "the spikes are at random steps"


def test_a_rough_manifold_has_the_largest_number_of_frequencies():
    assert Randman(units=1, dimension=1, smoothness=0.001).manifold(0).shape[-1] == 1000
    with pytest.raises(ValueError, match="manifolds"):
        DATASETS["randman"].checked({"manifolds": 2**32 - 1})


def test_classes_differ_and_the_seed_decides_the_manifolds():
    x = torch.rand(9, 3, generator=torch.Generator().manual_seed(0))
    same, other = Randman(smoothness=3.0), Randman(smoothness=3.0, manifolds=1)
    assert (same.points(x, 0) == Randman(smoothness=3.0).points(x, 0)).all()
    assert not (same.points(x, 0) == same.points(x, 1)).any()
    assert not (same.points(x, 0) == other.points(x, 0)).any()


def test_near_points_have_near_times():
    data, x = Randman(smoothness=3.0), torch.full((1, 3), 0.4)
    assert float((data.points(x, 0) - data.points(x + 1e-4, 0)).abs().max()) < 1e-3
