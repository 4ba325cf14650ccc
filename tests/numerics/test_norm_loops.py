"""Compiled batch normalisation: parts of samples are combined by their sizes."""

from __future__ import annotations

import torch

from throughtime.numerics.norm_loops import together
from throughtime.numerics.reductions import PART


def test_mean_and_squares_of_parts_of_other_sizes_are_those_of_all_samples():
    torch.manual_seed(1)
    x = torch.randn(2 * PART + 3, 4, dtype=torch.float64)
    parts = [torch.stack([part.mean(0), (part - part.mean(0)).square().sum(0)]) for part in x.split(PART)]
    mean, squares = torch.empty(4, dtype=x.dtype), torch.empty(4, dtype=x.dtype)
    together(torch.stack(parts), len(x), mean, squares)
    torch.testing.assert_close(mean, x.mean(0))
    torch.testing.assert_close(squares, (x - x.mean(0)).square().sum(0))
