"""A linear map of spikes that stores them as bytes for its backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.numerics.precision import Products, products_of
from throughtime.numerics.spike_product import SpikeProduct, add_weight_gradient


def spike_linear(linear: nn.Linear, z: Tensor, bytes_of_z: Tensor) -> Tensor:
    """Return `linear(z)` for a window z [steps, batch, inputs] of zeros and ones; `bytes_of_z` is z as bytes.

    The graph stores the bytes, not z. Time is that of nn.Linear plus a pass that converts the bytes.
    """
    return _SpikeLinear.apply(products_of(linear), z, bytes_of_z, linear.weight, linear.bias)


class _SpikeLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, products: Products, z: Tensor, bytes_of_z: Tensor, W: Tensor, c: Tensor | None) -> Tensor:
        ctx.products = products
        ctx.save_for_backward(bytes_of_z, W)
        return product_with_spikes(products, z, W, c)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, δd: Tensor) -> tuple[Tensor | None, ...]:
        z, W = ctx.saved_tensors
        products: Products = ctx.products
        _, need_z, _, need_W, need_c = ctx.needs_input_grad
        δz = products.matmul(δd, W) if need_z else None
        δW = add_weight_gradient(torch.zeros_like(W), δd, z, products) if need_W else None
        return None, δz, None, δW, δd.sum((0, 1)) if need_c else None


def product_with_spikes(products: Products, z: Tensor, W: Tensor, c: Tensor | None) -> Tensor:
    """Return W z_t + c of a window, without a graph, in new memory: never a view of c, even for one sample."""
    d = z.new_zeros(*z.shape[:2], len(W)) if c is None else z.new_empty(*z.shape[:2], len(W)).copy_(c)
    SpikeProduct(W, products, len(z)).add(d.flatten(0, 1), z.flatten(0, 1))
    return d


def as_bytes(z: Tensor) -> Tensor:
    """Return zeros and ones as int8, since PyTorch converts uint8 and bool ten times more slowly."""
    return z.to(torch.int8)
