"""Loops of a readout over a window of steps, and their adjoints: norm, then constant or gated leak.

D, d and y are [steps, batch, outputs], so small that the overhead of tensor operations would dominate. `StepBatchNorm`,
`LeakyReadout` and `GatedReadout` compute the same with tensor operations, step by step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from throughtime.numerics.exp2 import base_two, sigmoid
from throughtime.numerics.loops import compiled, prange
from throughtime.numerics.norm_loops import Norm, normalise, normalise_adjoint


class Gate(NamedTuple):
    """The map that computes a leak, and its values in a window, which the adjoint reads."""

    W: Any
    """W_τ, [outputs, 2 outputs]."""
    b: Any
    """b_τ, [outputs]."""
    κ: Any
    """The slope κ₃, an array without dimensions."""
    x: Any
    """[d_t ; y_{t−1}], [steps, batch, 2 outputs]."""
    g: Any
    """W_τ x_t + b_τ, [steps, batch, outputs]."""
    λ: Any
    """σ(κ₃ g_t), [steps, batch, outputs]."""


class Gradients(NamedTuple):
    """Memory for the gradients of the parameters; None if the readout has no norm, or no gate."""

    w: Any
    c: Any
    W: Any
    b: Any
    κ: Any


@compiled
def read(first: int, D: Any, norm: Norm | None, decay: float, gate: Gate | None, y_before: Any, d: Any, y: Any) -> None:
    """Compute y from D_t = W o_t + c, for a window that begins at step `first` of the sequence. d is memory for the
    output of the norm, or D if there is no norm; `decay` is κ of a leak without a gate."""
    if norm is not None:
        for t in range(len(D)):
            normalise(t, first, D, norm, d, False)
    if gate is not None:
        gated_leak(d, y_before, gate, y)
    else:
        constant_leak(d, y_before, decay, y)


@compiled
def read_adjoint(
    D: Any, norm: Norm | None, decay: float, gate: Gate | None, δy: Any, δ: Gradients, δD: Any, δy_before: Any
) -> None:
    """Compute δD, the gradients of the parameters, and that of y before the window, from δy."""
    δd = δD if norm is None else np.empty_like(δD)
    if gate is not None:
        gated_leak_adjoint(gate, δy, δ, δd, δy_before)
    else:
        constant_leak_adjoint(δy, decay, δd, δy_before)
    if norm is not None:
        for t in range(len(D) - 1, -1, -1):
            normalise_adjoint(t, D, norm, δd, δD, δ.w, δ.c)


@compiled
def constant_leak(d: Any, y_before: Any, κ: float, y: Any) -> None:
    """y_t = κ y_{t−1} + (1 − κ) d_t."""
    steps, batch, outputs = d.shape
    for n in prange(batch):
        for t in range(steps):
            for o in range(outputs):
                past = y[t - 1, n, o] if t > 0 else y_before[n, o]
                y[t, n, o] = d[t, n, o] + κ * (past - d[t, n, o])


@compiled
def constant_leak_adjoint(δy: Any, κ: float, δd: Any, δy_before: Any) -> None:
    """δd_t = (1 − κ) δy_t,     δy_{t−1} += κ δy_t."""
    steps, batch, outputs = δy.shape
    for n in prange(batch):
        back = δy_before[n]  # from step t + 1
        back[:] = 0
        for t in range(steps - 1, -1, -1):
            for o in range(outputs):
                δ = δy[t, n, o] + back[o]
                back[o] = κ * δ
                δd[t, n, o] = δ - back[o]


@compiled
def gated_leak(d: Any, y_before: Any, gate: Gate, y: Any) -> None:
    """λ_t = σ(κ₃ g_t), g_t = W_τ x_t + b_τ, x_t = [d_t ; y_{t−1}];     y_t = y_{t−1} + λ_t (d_t − y_{t−1})."""
    steps, batch, outputs = d.shape
    W = gate.W
    b = gate.b
    x = gate.x
    g = gate.g
    λ = gate.λ
    κ2, one = base_two(gate.κ), d.dtype.type(1)
    for n in prange(batch):
        for t in range(steps):
            x_n = x[t, n]
            for o in range(outputs):
                x_n[o] = d[t, n, o]
                x_n[outputs + o] = y[t - 1, n, o] if t > 0 else y_before[n, o]
            for o in range(outputs):
                g_o = b[o]
                for i in range(2 * outputs):
                    g_o += W[o, i] * x_n[i]
                g[t, n, o] = g_o
            for o in range(outputs):
                λ[t, n, o] = sigmoid(g[t, n, o], κ2, one)
                y[t, n, o] = x_n[outputs + o] + λ[t, n, o] * (x_n[o] - x_n[outputs + o])


@compiled
def gated_leak_adjoint(gate: Gate, δy: Any, δ: Gradients, δd: Any, δy_before: Any) -> None:
    """δg_t = κ₃ λ_t (1 − λ_t) (d_t − y_{t−1}) δy_t;     δd_t = λ_t δy_t and δy_{t−1} += (1 − λ_t) δy_t, and W_τᵀ δg_t
    to both;     δW_τ = Σ δg_t x_tᵀ,     δb_τ = Σ δg_t,     δκ₃ = Σ δg_t · g_t / κ₃, or its limit at κ₃ = 0."""
    steps, batch, outputs = δy.shape
    W = gate.W
    x = gate.x
    g = gate.g
    λ = gate.λ
    κ = gate.κ[()]
    δg = np.empty_like(δy)
    for n in prange(batch):
        back = δy_before[n]  # from step t + 1
        back[:] = 0
        for t in range(steps - 1, -1, -1):
            for o in range(outputs):
                λ_o, δy_o = λ[t, n, o], δy[t, n, o] + back[o]
                δd[t, n, o] = λ_o * δy_o
                δg[t, n, o] = κ * (λ_o - λ_o * λ_o) * (x[t, n, o] - x[t, n, outputs + o]) * δy_o
                back[o] = δy_o - λ_o * δy_o
            for o in range(outputs):
                for i in range(outputs):
                    δd[t, n, i] += W[o, i] * δg[t, n, o]
                    back[i] += W[o, outputs + i] * δg[t, n, o]
    δW = δ.W
    δb = δ.b
    δκ = κ - κ
    δW[:] = 0
    δb[:] = 0
    for t in range(steps):
        for n in range(batch):
            for o in range(outputs):
                δκ += δg[t, n, o] * g[t, n, o]
                δb[o] += δg[t, n, o]
                for i in range(2 * outputs):
                    δW[o, i] += δg[t, n, o] * x[t, n, i]
    if κ != 0:
        δ.κ[()] = δκ / κ
        return
    for t in range(steps):  # δg is 0, and δd_t = λ_t δy_t
        for n in range(batch):
            for o in range(outputs):
                h = (δd[t, n, o] - λ[t, n, o] * δd[t, n, o]) * (x[t, n, o] - x[t, n, outputs + o])
                δκ += h * g[t, n, o]
    δ.κ[()] = δκ
