"""The optimisers: constructors, and the values per parameter that an update stores and moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.numerics.adam_tensorflow import TensorFlowAdam
from throughtime.numerics.adamax import Adamax
from throughtime.spec import OptimiserName


class Optimiser(NamedTuple):
    """One optimiser."""

    build: Callable[[Sequence[Tensor], float, float], torch.optim.Optimizer]
    """Constructor, called with parameters, learning rate and weight decay."""
    kept: int
    """Values stored for each parameter: weight, gradient, moments."""
    moved: int
    """Values that an update reads or writes for each parameter."""


OPTIMISERS: dict[OptimiserName, Optimiser] = {
    "adam": Optimiser(lambda W, lr, λ: torch.optim.Adam(W, lr, weight_decay=λ, fused=True), kept=4, moved=7),
    "adam_tensorflow": Optimiser(lambda W, lr, λ: TensorFlowAdam(W, lr, weight_decay=λ, fused=True), kept=4, moved=7),
    "adamw": Optimiser(lambda W, lr, λ: torch.optim.AdamW(W, lr, weight_decay=λ, fused=True), kept=4, moved=7),
    "adamax": Optimiser(lambda W, lr, λ: Adamax(W, lr, weight_decay=λ, foreach=False), kept=4, moved=7),
    "sgd": Optimiser(lambda W, lr, λ: torch.optim.SGD(W, lr, weight_decay=λ, foreach=True), kept=2, moved=3),
}
"""Optimisers by name. `spec.OptimiserName` repeats the names, so that reading a suite does not import torch."""
