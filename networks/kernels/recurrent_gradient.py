"""The gradient of recurrent weights, computed once per window, for neurons without a kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.numerics.precision import Products, products_of

CHUNK = 32
"""Number of steps in one product."""


def with_recurrent_gradient(drive: Tensor, recurrent: nn.Linear, sent: list[Tensor]) -> Tensor:
    """Return the drive [steps, batch, currents · size] plus the bias of R, if any; its backward also computes δR.

    ∂E/∂R = Σ_t δI_t z_{t−1}ᵀ requires the gradient of the drive, δI_t, and the outputs z_{t−1}. The caller adds
    R z_{t−1} with R held constant and appends the detached z_{t−1} of each step to `sent`. The gradient of R is then a
    few large products, where autograd computes a small one per step, which is slow.
    """
    drive = drive if recurrent.bias is None else drive + recurrent.bias
    return _WithRecurrentGradient.apply(drive, recurrent.weight, products_of(recurrent), sent)


class _WithRecurrentGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, drive: Tensor, R: Tensor, products: Products, sent: list[Tensor]) -> Tensor:
        ctx.products, ctx.sent = products, sent
        return drive.view_as(drive)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, δI: Tensor) -> tuple[Tensor | None, ...]:
        δR = None
        if ctx.needs_input_grad[1]:
            δR = δI.new_zeros(δI.shape[2], ctx.sent[0].shape[1])
            for begin in range(0, len(δI), CHUNK):
                part, z = δI[begin : begin + CHUNK], ctx.sent[begin : begin + CHUNK]
                ctx.products.addmm(δR, part.flatten(0, 1).t(), torch.cat(z), out=δR)
        return δI, δR, None, None
