"""Loops of a readout over a window and their adjoints: norm, constant leak, gated leak.

d and y are [steps, batch, outputs], so small that the overhead of tensor operations would dominate. `StepBatchNorm`,
`LeakyReadout` and `GatedReadout` compute the same with tensor operations, step by step.
"""

from __future__ import annotations

from typing import Any

from throughtime.numerics.exp2 import sigmoid
from throughtime.numerics.loops import compiled, prange
from throughtime.numerics.norm_loops import normalise as normalise_step
from throughtime.numerics.norm_loops import normalise_adjoint as normalise_step_adjoint


@compiled
def normalise(
    x: Any,
    w: Any,
    c: Any,
    running_mean: Any,
    running_var: Any,
    first: int,
    momentum: float,
    ε: float,
    training: bool,
    mean: Any,
    rstd: Any,
    y: Any,
) -> None:
    """y_t = w (x_t − mean_t) / √(var_t + ε) + c from step `first` of the sequence on."""
    for t in range(len(x)):
        normalise_step(
            x[t], w, c, running_mean, running_var, first + t, momentum, ε, training, mean[t], rstd[t], y[t], False
        )


@compiled
def normalise_adjoint(x: Any, w: Any, mean: Any, rstd: Any, δy: Any, training: bool, δx: Any, δw: Any, δc: Any) -> None:
    """Compute δx_t of all steps, and add the gradients of w and c to δw and δc."""
    for t in range(len(x)):
        normalise_step_adjoint(x[t], w, mean[t], rstd[t], δy[t], training, δx[t], δw, δc)


@compiled
def leak(d: Any, y_before: Any, κ: float, y: Any) -> None:
    """y_t = κ y_{t−1} + (1 − κ) d_t."""
    steps, batch, outputs = d.shape
    for n in prange(batch):
        for t in range(steps):
            for o in range(outputs):
                past = y[t - 1, n, o] if t > 0 else y_before[n, o]
                y[t, n, o] = d[t, n, o] + κ * (past - d[t, n, o])


@compiled
def leak_adjoint(δy: Any, κ: float, δd: Any, δy_before: Any) -> None:
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
def gated_leak(d: Any, y_before: Any, W: Any, b: Any, κ2: float, x: Any, g: Any, λ: Any, y: Any) -> None:
    """λ_t = σ(κ₃ g_t), g_t = W_τ x_t + b_τ, x_t = [d_t ; y_{t−1}];     y_t = y_{t−1} + λ_t (d_t − y_{t−1}).
    `κ2` is `base_two(κ₃)`."""
    steps, batch, outputs = d.shape
    one = d.dtype.type(1)
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
def gated_leak_adjoint(
    x: Any, g: Any, λ: Any, W: Any, κ: float, δy: Any, δd: Any, δy_before: Any, δg: Any, δW: Any, δb: Any
) -> float:
    """δg_t = κ₃ λ_t (1 − λ_t) (d_t − y_{t−1}) δy_t;     δd_t = λ_t δy_t and δy_{t−1} += (1 − λ_t) δy_t, and W_τᵀ δg_t
    to both;     δW_τ = Σ δg_t x_tᵀ,     δb_τ = Σ δg_t. The result is δκ₃ = Σ δg_t · g_t / κ₃."""
    steps, batch, outputs = λ.shape
    for n in prange(batch):
        back = δy_before[n]  # from step t + 1
        back[:] = 0
        for t in range(steps - 1, -1, -1):
            for o in range(outputs):
                λ_o, δ = λ[t, n, o], δy[t, n, o] + back[o]
                δd[t, n, o] = λ_o * δ
                δg[t, n, o] = κ * (λ_o - λ_o * λ_o) * (x[t, n, o] - x[t, n, outputs + o]) * δ
                back[o] = δ - λ_o * δ
            for o in range(outputs):
                for i in range(outputs):
                    δd[t, n, i] += W[o, i] * δg[t, n, o]
                    back[i] += W[o, outputs + i] * δg[t, n, o]
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
    return δκ / κ
