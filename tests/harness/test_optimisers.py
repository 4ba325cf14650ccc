"""The table of optimisers: its names are those of a spec, and its numbers those of the optimisers themselves."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from throughtime.harness.optimisers import OPTIMISERS
from throughtime.spec import OptimiserName


def test_a_spec_knows_the_same_names():
    assert set(get_args(OptimiserName)) == set(OPTIMISERS)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_numbers_kept_are_weight_gradient_and_moments(name):
    W = torch.nn.Parameter(torch.ones(100))
    optimiser = OPTIMISERS[name].build([W], 0.1, 0.0)
    W.grad = torch.ones(100)
    optimiser.step()
    moments = sum(value.numel() == 100 for value in optimiser.state[W].values() if isinstance(value, torch.Tensor))
    assert OPTIMISERS[name].kept == 2 + moments
    assert OPTIMISERS[name].moved == 3 + 2 * moments, "weight and moments are read and written, the gradient is read"
    assert float(W.detach().max()) < 1
