"""The optimisers: constructors, and the values per parameter that an update stores and moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.numerics.adam_tensorflow import TensorFlowAdam
from throughtime.numerics.adamax import Adamax
from throughtime.spec import OptimiserName, Training


class Optimiser(NamedTuple):
    """One optimiser."""

    build: Callable[..., torch.optim.Optimizer]
    """Constructor, called with the parameters, `lr`, `weight_decay`, and for SGD `momentum` and `nesterov`."""
    moments: int
    """Moments of the gradient that it stores for each parameter, without momentum."""


OPTIMISERS: dict[OptimiserName, Optimiser] = {
    "adam": Optimiser(lambda W, **options: torch.optim.Adam(W, fused=True, **options), moments=2),
    "adam_tensorflow": Optimiser(lambda W, **options: TensorFlowAdam(W, fused=True, **options), moments=2),
    "adamw": Optimiser(lambda W, **options: torch.optim.AdamW(W, fused=True, **options), moments=2),
    "adamax": Optimiser(lambda W, **options: Adamax(W, foreach=False, **options), moments=2),
    "sgd": Optimiser(lambda W, **options: torch.optim.SGD(W, foreach=True, **options), moments=0),
}
"""Optimisers by name. `spec.OptimiserName` repeats the names, so that reading a suite does not import torch."""


def build_optimiser(W: Sequence[Tensor], training: Training) -> torch.optim.Optimizer:
    """Return the optimiser of training settings for parameters W."""
    options = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimiser == "sgd":
        options |= {"momentum": training.momentum, "nesterov": training.nesterov}
    return OPTIMISERS[training.optimiser].build(W, **options)


def stored(training: Training) -> int:
    """Return the number of values that training stores for each parameter: weight, gradient, moments."""
    return 2 + _moments(training)


def moved(training: Training) -> int:
    """Return the number of values that an update reads or writes for each parameter: the gradient is read, the weight
    and the moments are read and written."""
    return 3 + 2 * _moments(training)


def _moments(training: Training) -> int:
    return OPTIMISERS[training.optimiser].moments + (training.momentum > 0)
