"""Decay factors from time constants, one for all neurons of a layer or one per neuron."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from throughtime.neurons.base import Shape, shape_of


def decay(shape: Shape, tau: float, tau_max: float | None) -> Tensor:
    """Return exp(−1/τ), τ in steps: [1] for one τ, else [*shape] with τ spaced logarithmically from tau to tau_max."""
    if tau_max is None:
        return torch.tensor([math.exp(-1 / tau)])
    shape = shape_of(shape)
    return torch.exp(-1 / torch.logspace(math.log10(tau), math.log10(tau_max), math.prod(shape))).view(shape)
