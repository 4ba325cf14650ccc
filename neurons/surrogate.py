"""Surrogate gradients: the spike is a step, its backward pass multiplies by a smooth h(x) instead of the delta."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

SurrogateName = Literal["multi_gaussian", "triangle"]


def multi_gaussian(x: Tensor) -> Tensor:
    """h(x) = γ [(1+η) g(x; 0, l) − η g(x; l, s·l) − η g(x; −l, s·l)], g(x; μ, ς) the normal density.

    γ = 0.5, l = 0.3, s = 6, η = 0.15; h(0) = 0.731853. Source: Yin, Corradi and Bohte 2023 (their released code).
    """
    γ, l, s, η = 0.5, 0.3, 6.0, 0.15

    def g(x: Tensor, ς: float) -> Tensor:
        return torch.exp(-x.square() / (2 * ς**2)) / (ς * math.sqrt(2 * math.pi))

    return γ * ((1 + η) * g(x, l) - η * (g(x - l, s * l) + g(x + l, s * l)))


def triangle(x: Tensor) -> Tensor:
    """h(x) = γ max(0, 1 − |x|), γ = 0.3. Source: Bellec et al. 2020, Methods."""
    return 0.3 * torch.relu(1 - x.abs())


SURROGATES: dict[SurrogateName, Callable[[Tensor], Tensor]] = {
    "multi_gaussian": multi_gaussian,
    "triangle": triangle,
}


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.h = h
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad[0] * ctx.h(x), None


def spike(x: Tensor, surrogate: SurrogateName) -> Tensor:
    """H(x), with H(0) = 0, in the dtype of x; its gradient is the named surrogate's h(x)."""
    return _Spike.apply(x, SURROGATES[surrogate])
