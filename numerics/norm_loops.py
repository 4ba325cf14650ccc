"""Compiled loops for batch normalisation of one step and its adjoint; `networks/batch_norm.py` has the equations.

x and y are [batch, features], running statistics [steps, features], all other arrays [features]. Samples are processed
in the parts of `reductions.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from throughtime.numerics.loops import compiled, prange
from throughtime.numerics.reductions import PART, add_rows_up, parts_of


@compiled
def normalise(
    x: Any,
    w: Any,
    c: Any,
    running_means: Any,
    running_vars: Any,
    t: int,
    momentum: float,
    ε: float,
    training: bool,
    mean: Any,
    rstd: Any,
    y: Any,
    adds: bool,
) -> None:
    """y ← w (x − mean) / √(var + ε) + c, or y += if `adds`; `rstd` is 1 / √(var + ε). The running statistics are those
    of step t, or of the last step that has them."""
    batch, features = x.shape
    running_mean = running_means[min(t, len(running_means) - 1)]
    running_var = running_vars[min(t, len(running_vars) - 1)]
    parts = parts_of(batch)
    if training:
        of_parts = np.empty((parts, 2, features), x.dtype)
        for part in prange(parts):
            mean_and_squares(x[part * PART : (part + 1) * PART], of_parts[part])
        squares = np.empty(features, x.dtype)
        together(of_parts, batch, mean, squares)
        for i in range(features):
            running_mean[i] += momentum * (mean[i] - running_mean[i])
            running_var[i] += momentum * (squares[i] / (batch - 1) - running_var[i])
            rstd[i] = 1 / np.sqrt(squares[i] / batch + ε)
    else:
        for i in range(features):
            mean[i], rstd[i] = running_mean[i], 1 / np.sqrt(running_var[i] + ε)
    for part in prange(parts):
        scaled(x[part * PART : (part + 1) * PART], mean, rstd, w, c, y[part * PART : (part + 1) * PART], adds)


@compiled
def mean_and_squares(x: Any, found: Any) -> None:
    """Compute the mean and Σ (x − mean)² of some samples."""
    samples, features = x.shape
    m, s = np.zeros(features, x.dtype), np.zeros(features, x.dtype)
    for n in range(samples):
        for i in range(features):
            m[i] += x[n, i]
    for i in range(features):
        m[i] /= samples
    for n in range(samples):
        for i in range(features):
            s[i] += (x[n, i] - m[i]) * (x[n, i] - m[i])
    found[0], found[1] = m, s


@compiled
def together(of_parts: Any, batch: int, mean: Any, squares: Any) -> None:
    """Combine the parts: Σ (x − mean)² of all samples sums that of each part and n (mean of part − mean)². Source:
    Chan, Golub and LeVeque 1983."""
    parts, _, features = of_parts.shape
    mean[:] = 0
    squares[:] = 0
    for part in range(parts):
        share = min(PART, batch - part * PART) / batch
        for i in range(features):
            mean[i] += share * of_parts[part, 0, i]
    for part in range(parts):
        samples = min(PART, batch - part * PART)
        for i in range(features):
            off = of_parts[part, 0, i] - mean[i]
            squares[i] += of_parts[part, 1, i] + samples * off * off


@compiled
def scaled(x: Any, mean: Any, rstd: Any, w: Any, c: Any, y: Any, adds: bool) -> None:
    """y ← w (x − mean) rstd + c, or y +=."""
    samples, features = x.shape
    for n in range(samples):
        for i in range(features):
            y_i = (x[n, i] - mean[i]) * (rstd[i] * w[i]) + c[i]
            y[n, i] = y[n, i] + y_i if adds else y_i


@compiled
def normalise_adjoint(x: Any, w: Any, mean: Any, rstd: Any, δy: Any, training: bool, δx: Any, δw: Any, δc: Any) -> None:
    """δx = w / √(var + ε) (δy − mean(δy) − x̂ mean(δy x̂)), the means over the batch and only in training;
    δw += Σ δy x̂ and δc += Σ δy."""
    batch, features = x.shape
    parts = parts_of(batch)
    of_parts = np.empty((parts, 2, features), x.dtype)
    for part in prange(parts):
        first, last = part * PART, (part + 1) * PART
        by_scale_and_shift(x[first:last], mean, rstd, δy[first:last], of_parts[part])
    by_w, by_c = np.empty(features, x.dtype), np.empty(features, x.dtype)
    add_rows_up(of_parts[:, 0], by_w)
    add_rows_up(of_parts[:, 1], by_c)
    for i in range(features):
        δw[i] += by_w[i]
        δc[i] += by_c[i]
        by_w[i] = by_w[i] / batch if training else 0
        by_c[i] = by_c[i] / batch if training else 0
    for part in prange(parts):
        first, last = part * PART, (part + 1) * PART
        turned(x[first:last], mean, rstd, w, δy[first:last], by_w, by_c, δx[first:last])


@compiled
def by_scale_and_shift(x: Any, mean: Any, rstd: Any, δy: Any, found: Any) -> None:
    """Compute Σ δy x̂ and Σ δy of some samples."""
    samples, features = x.shape
    by_w, by_c = np.zeros(features, x.dtype), np.zeros(features, x.dtype)
    for n in range(samples):
        for i in range(features):
            by_w[i] += δy[n, i] * (x[n, i] - mean[i])
            by_c[i] += δy[n, i]
    for i in range(features):
        by_w[i] *= rstd[i]
    found[0], found[1] = by_w, by_c


@compiled
def turned(x: Any, mean: Any, rstd: Any, w: Any, δy: Any, by_w: Any, by_c: Any, δx: Any) -> None:
    """δx ← w rstd (δy − by_c − x̂ by_w)."""
    samples, features = x.shape
    for n in range(samples):
        for i in range(features):
            x̂ = (x[n, i] - mean[i]) * rstd[i]
            δx[n, i] = w[i] * rstd[i] * (δy[n, i] - by_c[i] - x̂ * by_w[i])
