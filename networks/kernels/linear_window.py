"""A linear map in all steps of a window, which stores spikes as bytes for its backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.numerics.precision import Products, products_of
from throughtime.numerics.spike_product import SpikeProduct, add_weight_gradient


def linear_window(linear: nn.Linear, x: Tensor, bytes_of_x: Tensor | None, c: Tensor | None) -> Tensor:
    """Return W x + c in new memory, for the W of `linear` and a window x [steps, batch, inputs].

    The graph stores x or, if x consists of zeros and ones, `bytes_of_x`, which takes a pass that converts them back.
    """
    return _LinearWindow.apply(products_of(linear), x, bytes_of_x, linear.weight, c)


class _LinearWindow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, products: Products, x: Tensor, bytes_of_x: Tensor | None, W: Tensor, c: Tensor | None
    ) -> Tensor:
        ctx.products, ctx.x_is_bytes = products, bytes_of_x is not None
        ctx.save_for_backward(x if bytes_of_x is None else bytes_of_x, W)
        return products.linear(x, W, c) if bytes_of_x is None else product_with_spikes(products, x, W, c)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, δd: Tensor) -> tuple[Tensor | None, ...]:
        x, W = ctx.saved_tensors
        products: Products = ctx.products
        _, need_x, _, need_W, need_c = ctx.needs_input_grad
        δx, δW = products.matmul(δd, W) if need_x else None, None
        if need_W and ctx.x_is_bytes:
            δW = add_weight_gradient(torch.zeros_like(W), δd, x, products)
        elif need_W:
            δW = products.matmul(δd.flatten(0, 1).t(), x.flatten(0, 1))
        return None, δx, None, δW, δd.sum((0, 1)) if need_c else None


def product_with_spikes(products: Products, z: Tensor, W: Tensor, c: Tensor | None) -> Tensor:
    """Return W z_t + c of a window, without a graph, in new memory: never a view of c, even for one sample."""
    d = z.new_zeros(*z.shape[:2], len(W)) if c is None else z.new_empty(*z.shape[:2], len(W)).copy_(c)
    SpikeProduct(W, products, len(z)).add(d.flatten(0, 1), z.flatten(0, 1))
    return d


def as_bytes(z: Tensor) -> Tensor:
    """Return zeros and ones as int8, since PyTorch converts uint8 and bool ten times more slowly."""
    return z.to(torch.int8)
