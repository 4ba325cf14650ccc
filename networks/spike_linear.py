"""A linear map of spikes that keeps them as bytes for its backward pass."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.neurons.kernel import CHUNK


def spike_linear(linear: nn.Linear, z: Tensor) -> Tensor:
    """W z_t + c of a window, z [steps, batch, inputs] of zeros and ones: what `linear` gives.

    Kept: a byte a spike instead of z itself, which whoever holds it keeps alive. Time: nn.Linear's, and two passes over
    z that convert it.
    """
    return _SpikeLinear.apply(z, linear.weight, linear.bias)


class _SpikeLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, W: Tensor, c: Tensor) -> Tensor:
        ctx.save_for_backward(as_bytes(z), W)
        return F.linear(z, W, c)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, δd: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        z, W = ctx.saved_tensors
        need_z, need_W, need_c = ctx.needs_input_grad
        δW = product_with_spikes(δd, z) if need_W else None
        return δd @ W if need_z else None, δW, δd.sum((0, 1)) if need_c else None


def as_bytes(z: Tensor) -> Tensor:
    """Zeros and ones in a byte each; int8, for PyTorch converts uint8 and bool ten times more slowly."""
    return z.to(torch.int8)


def product_with_spikes(δ: Tensor, z: Tensor) -> Tensor:
    """Σ_t δ_tᵀ z_t [outputs, inputs] of a window δ [steps, batch, outputs] and its spikes as bytes, CHUNK steps at a
    time: spikes are numbers again only for as long as their product takes."""
    total = δ.new_zeros(δ.shape[2], z.shape[2])
    for δ_part, z_part in zip(δ.split(CHUNK), z.split(CHUNK), strict=True):
        total.addmm_(δ_part.flatten(0, 1).t(), z_part.flatten(0, 1).to(δ.dtype))
    return total
