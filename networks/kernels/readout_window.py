"""A window of a readout as one operation: its product, its norm if it has one, and its leak."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from throughtime.networks.batch_norm import EPSILON, MOMENTUM, StepBatchNorm
from throughtime.networks.kernels import readout_loops
from throughtime.networks.kernels.spike_linear import product_with_spikes
from throughtime.networks.readout import GatedReadout, LeakyReadout, Readout
from throughtime.numerics.exp2 import base_two
from throughtime.numerics.loops import runs_compiled
from throughtime.numerics.precision import FLOAT32, products_of
from throughtime.numerics.spike_product import SHORT, add_weight_gradient


def readout_window(readout: Readout, o: Tensor, bytes_of_o: Tensor | None, y: Tensor, t: int) -> Tensor | None:
    """Return y of all steps [steps, batch, outputs], equal to that of `readout` step by step; None if no loop of
    `readout_loops.py` can run.

    Memory for the backward pass: o, or its bytes if given; with a norm its input; with a gated leak four numbers per
    output.

    Args:
        o: the variable that the readout reads, [steps, batch, size].
        bytes_of_o: o as bytes, if o are spikes.
        y: y before the first step.
        t: index of the first step of the window in the sequence.
    """
    gate: tuple[Tensor, ...] = ()
    norm = readout.norm
    if type(readout) is GatedReadout and products_of(readout.gate) is FLOAT32:
        gate = (readout.gate.weight, readout.gate.bias, readout.slope)
    elif type(readout) is not LeakyReadout:
        return None
    if norm is not None and norm.training and o.shape[1] == 1:
        return None  # the norm raises the error
    of_norm = () if norm is None else (norm.weight, norm.bias)
    learnt = (readout.linear.weight, readout.linear.bias, *of_norm, *gate)
    if not runs_compiled(o, y, *learnt, graph_is_ours=True):
        return None
    return _ReadoutWindow.apply(_Made(readout, norm, t), o, bytes_of_o, y, *learnt)


class _Made(NamedTuple):
    """Arguments of a window that are not tensors."""

    readout: Readout
    norm: StepBatchNorm | None
    t: int


class _ReadoutWindow(torch.autograd.Function):
    """Arguments: a _Made; o and its bytes; y before; W and c; the norm's w and c; the gate's W_τ, b_τ and κ₃."""

    @staticmethod
    def forward(
        ctx: Any,
        made: _Made,
        o: Tensor,
        bytes_of_o: Tensor | None,
        y_before: Tensor,
        W: Tensor,
        c: Tensor,
        *more: Tensor,
    ) -> Tensor:
        readout, norm, first = made
        products = products_of(readout.linear)
        spikes = bytes_of_o is not None and len(o) >= SHORT
        d = D = product_with_spikes(products, o, W, c) if spikes else products.linear(o, W, c)
        kept: list[Tensor] = []
        if norm is not None:
            d, (mean, rstd) = torch.empty_like(D), D.new_empty(2, len(D), len(c)).unbind(0)
            running = (norm.running_mean, norm.running_var)
            readout_loops.normalise(D, *more[:2], *running, first, MOMENTUM, EPSILON, norm.training, mean, rstd, d)
            kept += [more[0], D, mean, rstd]
        if isinstance(readout, LeakyReadout):
            y = d
            if readout.decay:
                y = torch.empty_like(d)
                readout_loops.leak(d, y_before, readout.decay, y)
        else:
            W_τ, b_τ, κ = more[-3:]
            g, λ, y = torch.empty_like(d), torch.empty_like(d), torch.empty_like(d)
            x = d.new_empty(*d.shape[:2], 2 * d.shape[2])
            readout_loops.gated_leak(d, y_before, W_τ, b_τ, base_two(κ.item()), x, g, λ, y)
            kept += [W_τ, κ, x, g, λ]
        ctx.made, ctx.training, ctx.o_is_bytes = made, norm is not None and norm.training, spikes
        ctx.save_for_backward(bytes_of_o if spikes else o, W, *kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, δy: Tensor) -> tuple[Tensor | None, ...]:
        made: _Made = ctx.made
        o, W, *kept = ctx.saved_tensors
        products, gradients = products_of(made.readout.linear), []
        δy = δd = δy.contiguous()
        δy_before = torch.zeros_like(δy[0])
        if not isinstance(made.readout, LeakyReadout):
            W_τ, κ, x, g, λ = kept[-5:]
            δd, δg, δW_τ, δb_τ = (
                torch.empty_like(g),
                torch.empty_like(g),
                torch.empty_like(W_τ),
                W_τ.new_empty(len(W_τ)),
            )
            δκ = readout_loops.gated_leak_adjoint(x, g, λ, W_τ, κ.item(), δy, δd, δy_before, δg, δW_τ, δb_τ)
            gradients = [δW_τ, δb_τ, W_τ.new_tensor(δκ)]
        elif made.readout.decay:
            δd = torch.empty_like(δy)
            readout_loops.leak_adjoint(δy, made.readout.decay, δd, δy_before)
        δD = δd
        if made.norm is not None:
            w, D, mean, rstd = kept[:4]
            δD, δw, δc = torch.empty_like(δd), torch.zeros_like(w), torch.zeros_like(w)
            readout_loops.normalise_adjoint(D, w, mean, rstd, δd, ctx.training, δD, δw, δc)
            gradients = [δw, δc, *gradients]
        δo = products.matmul(δD, W) if ctx.needs_input_grad[1] else None
        if ctx.o_is_bytes:
            δW = add_weight_gradient(torch.zeros_like(W), δD, o, products)
        else:
            δW = products.matmul(δD.flatten(0, 1).t(), o.flatten(0, 1))
        return None, δo, None, δy_before, δW, δD.sum((0, 1)), *gradients
