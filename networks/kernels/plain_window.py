"""A window of a layer by its neurons' own steps, for neurons without a kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.networks.kernels.window import LayerWindow, Recurrence
from throughtime.neurons.base import Neuron
from throughtime.numerics.precision import Products, products_of

CHUNK = 32
"""Number of steps in one product."""


def plain_window(
    neuron: Neuron, drive: Tensor, recurrence: Recurrence, state: Any, t: int, reads_v: bool
) -> LayerWindow:
    """Return what `layer_window` returns, for any neurons; autograd computes the gradient, but that of R."""
    (linear, norms), states, sent = recurrence, list[Any](), list[Tensor]()
    if linear is not None and not norms:
        products, R_t = products_of(linear), products_of(linear).operand(linear.weight.detach()).t()
        drive = with_recurrent_gradient(drive, linear, sent)
    # unbind, because the backward pass of x[t] fills a whole window in each step.
    for step, I in enumerate(drive.unbind(0)):
        if linear is not None and not norms:
            sent.append(state.z.detach())
            I = products.addmm(I, state.z, R_t)
        elif norms:
            I = norms[0](I, t + step)
            I = I if linear is None else I + norms[1](linear(state.z), t + step)
        _, state = neuron(I, state)
        states.append(state)
    v = torch.stack([s.v for s in states]) if reads_v else None
    return LayerWindow(torch.stack([s.z for s in states]), None, v, state)


def with_recurrent_gradient(drive: Tensor, recurrent: nn.Linear, sent: list[Tensor]) -> Tensor:
    """Return the drive [steps, batch, currents · size]; its backward also computes δR.

    ∂E/∂R = Σ_t δI_t z_{t−1}ᵀ requires the gradient of the drive, δI_t, and the outputs z_{t−1}. The caller adds
    R z_{t−1} with R held constant and appends the detached z_{t−1} of each step to `sent`. The gradient of R is then a
    few large products, where autograd computes a small one per step, which is slow.
    """
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
