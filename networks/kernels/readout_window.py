"""A window of a readout as one operation: its product, its norm if it has one, and its leak."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from throughtime.networks.kernels import readout_loops
from throughtime.networks.kernels.norm_window import norm_of
from throughtime.networks.kernels.readout_loops import Gate, Gradients
from throughtime.networks.kernels.spike_linear import product_with_spikes, spike_linear
from throughtime.networks.readout import GatedReadout, LeakyReadout, Readout
from throughtime.neurons.gate import is_dense
from throughtime.numerics.loops import runs_compiled
from throughtime.numerics.norm_loops import Norm
from throughtime.numerics.precision import FLOAT32, products_of
from throughtime.numerics.spike_product import SHORT, add_weight_gradient


class Leak(NamedTuple):
    """The norm and the leak of a readout, with memory for a window, in the form that `readout_loops` reads."""

    norm: Norm | None
    decay: float
    gate: Gate | None


def leak_of(readout: Readout, D: Tensor) -> Leak:
    """Return norm and leak of a readout, for a window D [steps, batch, outputs]."""
    norm, gate = None if readout.norm is None else norm_of(readout.norm, D), None
    if isinstance(readout, GatedReadout):
        W, b, κ = readout.gate.weight.detach(), readout.gate.bias.detach(), readout.slope.detach()
        gate = Gate(W, b, κ, D.new_empty(*D.shape[:2], 2 * D.shape[2]), torch.empty_like(D), torch.empty_like(D))
    return Leak(norm, readout.decay or 0.0, gate)


def parameters_of(readout: Readout) -> Gradients:
    """Return the parameters of norm and leak."""
    norm: tuple[Tensor | None, ...] = (None,) * 2
    gate: tuple[Tensor | None, ...] = (None,) * 3
    if readout.norm is not None:
        norm = readout.norm.weight, readout.norm.bias
    if isinstance(readout, GatedReadout):
        gate = readout.gate.weight, readout.gate.bias, readout.slope
    return Gradients(*norm, *gate)


def has_loops(readout: Readout) -> bool:
    """Whether the loops compute this readout. Its products may be rounded, but not those of its gate."""
    if not is_dense(readout.linear):
        return False
    gated = type(readout) is GatedReadout and is_dense(readout.gate) and products_of(readout.gate) is FLOAT32
    return gated or type(readout) is LeakyReadout


def read_window(readout: Readout, o: Tensor, bytes_of_o: Tensor | None, y: Tensor, t: int) -> Tensor:
    """Return the states of a readout after each step of a window, from that before the first.

    Args:
        readout: a readout of vectors, without dropout.
        o: the variable that it reads, [steps, batch, size].
        bytes_of_o: o as bytes, if o are spikes.
        y: the state before the first step.
        t: index of the first step of the window in the sequence.
    """
    ys = readout_window(readout, o, bytes_of_o, y, t)
    if ys is not None:
        return ys
    sparse = bytes_of_o if is_dense(readout.linear) else None
    d = readout.linear(o) if sparse is None else spike_linear(readout.linear, o, sparse)
    if readout.norm is not None:
        d = torch.stack([readout.norm(d_t, t + step) for step, d_t in enumerate(d.unbind(0))])
    return readout.unroll(d, y)


def readout_window(readout: Readout, o: Tensor, bytes_of_o: Tensor | None, y: Tensor, t: int) -> Tensor | None:
    """Return y of all steps [steps, batch, outputs], equal to that of `readout` step by step; None if the loops of
    `readout_loops.py` cannot run.

    Memory for the backward pass: o, or its bytes if given; with a norm its input; with a gated leak four numbers per
    output.

    Args:
        o: the variable that the readout reads, [steps, batch, size].
        bytes_of_o: o as bytes, if o are spikes.
        y: y before the first step.
        t: index of the first step of the window in the sequence.
    """
    norm = readout.norm
    if not has_loops(readout) or (norm is not None and norm.training and o.shape[1] == 1):
        return None  # a norm in training refuses a single sample with an error
    learnt = (readout.linear.weight, readout.linear.bias, *(p for p in parameters_of(readout) if p is not None))
    if not runs_compiled(o, y, *learnt, graph_is_ours=True):
        return None
    return _ReadoutWindow.apply(readout, t, o, bytes_of_o, y, *learnt)


class _ReadoutWindow(torch.autograd.Function):
    """Arguments: the readout; t; o and its bytes; y before; W and c; the parameters of norm and leak."""

    @staticmethod
    def forward(
        ctx: Any,
        readout: Readout,
        t: int,
        o: Tensor,
        bytes_of_o: Tensor | None,
        y_before: Tensor,
        W: Tensor,
        c: Tensor,
        *more: Tensor,
    ) -> Tensor:
        products = products_of(readout.linear)
        spikes = bytes_of_o is not None and len(o) >= SHORT
        D = product_with_spikes(products, o, W, c) if spikes else products.linear(o, W, c)
        leak = leak_of(readout, D)
        d = D if leak.norm is None else torch.empty_like(D)
        if leak.gate is None and not leak.decay and leak.norm is None:
            y = d
        else:
            y = torch.empty_like(d)
            readout_loops.read(t, D, *leak, y_before, d, y)
        ctx.readout, ctx.leak, ctx.o_is_bytes = readout, leak, spikes
        # The adjoint reads its parameters directly; saving them makes autograd detect changes in place.
        ctx.save_for_backward(bytes_of_o if spikes else o, W, *([] if leak.norm is None else [D]), *more)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, δy: Tensor) -> tuple[Tensor | None, ...]:
        leak: Leak = ctx.leak
        o, W, *kept = ctx.saved_tensors
        products = products_of(ctx.readout.linear)
        δy = δy.contiguous()
        δy_before, δD = torch.empty_like(δy[0]), torch.empty_like(δy)
        D = δD if leak.norm is None else kept[0]
        δ = Gradients(*(p if p is None else torch.empty_like(p.detach()) for p in parameters_of(ctx.readout)))
        readout_loops.read_adjoint(D, *leak, δy, δ, δD, δy_before)
        δo = products.matmul(δD, W) if ctx.needs_input_grad[2] else None
        if ctx.o_is_bytes:
            δW = add_weight_gradient(torch.zeros_like(W), δD, o, products)
        else:
            δW = products.matmul(δD.flatten(0, 1).t(), o.flatten(0, 1))
        return None, None, δo, None, δy_before, δW, δD.sum((0, 1)), *(p for p in δ if p is not None)
