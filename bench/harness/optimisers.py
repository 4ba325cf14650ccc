"""The optimisers: how each is built, and the numbers that an update keeps and moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.numerics.adamax import Adamax
from throughtime.spec import OptimiserName


class Optimiser(NamedTuple):
    """One optimiser."""

    build: Callable[[Sequence[Tensor], float], torch.optim.Optimizer]
    """From the parameters and the learning rate."""
    kept: int
    """Numbers that exist for each parameter: weight, gradient, moments."""
    moved: int
    """Numbers that an update reads or writes for each parameter."""


OPTIMISERS: dict[OptimiserName, Optimiser] = {
    "adam": Optimiser(lambda W, lr: torch.optim.Adam(W, lr=lr, fused=True), kept=4, moved=7),
    "adamax": Optimiser(lambda W, lr: Adamax(W, lr=lr, foreach=False), kept=4, moved=7),
    "sgd": Optimiser(lambda W, lr: torch.optim.SGD(W, lr=lr, foreach=True), kept=2, moved=3),
}
"""By the names that a spec may give, which a test compares with these: reading a suite does not import torch."""
