"""The gradient of recurrent weights, taken once a window: what neurons without a kernel get of the fast path."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.numerics.precision import Products, products_of

CHUNK = 32
"""Steps that one product takes."""


def with_recurrent_gradient(drive: Tensor, recurrent: nn.Linear, sent: list[Tensor]) -> Tensor:
    """The drive [steps, batch, currents · size], with R's bias if it has one; its gradient also makes R's.

    ∂E/∂R = Σ_t δI_t z_{t−1}ᵀ needs what arrives at the drive, δI_t, and what is sent. So a caller that adds R z_{t−1}
    with R held constant, and gathers z_{t−1} of each step, without a graph, in `sent`, has R's gradient in few products
    where autograd takes one a step, which are slow.
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
