"""What follows a readout's products in a window, a loop each and its adjoint: norm, constant leak, gated leak.

d and y are [steps, batch, outputs]: few numbers, whose operations would be mostly calls. The same as tensor operations:
`StepBatchNorm`, `LeakyReadout` and `GatedReadout`, step by step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from throughtime.compiled import compiled, prange
from throughtime.exp2 import sigmoid


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
    """y_t = w (x_t − mean_t) / √(var_t + ε) + c from step `first` of the sequence on; `rstd` is 1 / √(var_t + ε)."""
    steps, batch, features = x.shape
    for t in range(steps):
        of_step = min(first + t, len(running_mean) - 1)
        for j in range(features):
            m, var = running_mean[of_step, j], running_var[of_step, j]
            if training:
                sum = squares = 0.0
                for b in range(batch):
                    sum += x[t, b, j]
                m = sum / batch
                for b in range(batch):
                    squares += (x[t, b, j] - m) * (x[t, b, j] - m)
                var = squares / batch
                running_mean[of_step, j] += momentum * (m - running_mean[of_step, j])
                running_var[of_step, j] += momentum * (squares / (batch - 1) - running_var[of_step, j])
            mean[t, j], rstd[t, j] = m, 1 / np.sqrt(var + ε)
        for b in range(batch):
            for j in range(features):
                y[t, b, j] = (x[t, b, j] - mean[t, j]) * rstd[t, j] * w[j] + c[j]


@compiled
def normalise_adjoint(x: Any, w: Any, mean: Any, rstd: Any, δy: Any, training: bool, δx: Any, δw: Any, δc: Any) -> None:
    """δx_t = w / √(var_t + ε) (δy_t − mean(δy_t) − x̂_t mean(δy_t x̂_t)), the means over the batch and only in training;
    δw += Σ δy_t x̂_t and δc += Σ δy_t."""
    steps, batch, features = x.shape
    for t in range(steps):
        for j in range(features):
            by_w = by_c = 0.0
            for b in range(batch):
                by_w += δy[t, b, j] * (x[t, b, j] - mean[t, j]) * rstd[t, j]
                by_c += δy[t, b, j]
            δw[j] += by_w
            δc[j] += by_c
            if not training:
                by_w = by_c = 0.0
            for b in range(batch):
                x̂ = (x[t, b, j] - mean[t, j]) * rstd[t, j]
                δx[t, b, j] = w[j] * rstd[t, j] * (δy[t, b, j] - by_c / batch - x̂ * by_w / batch)


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
def gated_leak_adjoint(x: Any, λ: Any, W: Any, κ: float, δy: Any, δd: Any, δg: Any, δy_before: Any) -> None:
    """δg_t = κ₃ λ_t (1 − λ_t) (d_t − y_{t−1}) δy_t;     δd_t = λ_t δy_t and δy_{t−1} += (1 − λ_t) δy_t, and W_τᵀ δg_t
    to both."""
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
