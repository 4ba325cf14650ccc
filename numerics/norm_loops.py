"""Compiled loops for batch normalisation of one step and its adjoint; `networks/batch_norm.py` has the equations.

Samples are processed in the parts of `reductions.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from throughtime.numerics.loops import compiled, prange
from throughtime.numerics.reductions import PART, add_rows_up, parts_of


class Norm(NamedTuple):
    """A normalisation, and the statistics of the steps of a window."""

    w: Any
    """[features]."""
    c: Any
    """[features]."""
    running_mean: Any
    """[steps of the sequence, features]; later steps share the last row."""
    running_var: Any
    """The same shape."""
    momentum: float
    ε: float
    training: bool
    """Whether the statistics are those of the batch, which update the running ones."""
    mean: Any
    """[steps of the window, features]."""
    rstd: Any
    """1 / √(var + ε), [steps of the window, features]."""


@compiled
def normalise(t: int, first: int, x: Any, norm: Norm, y: Any, adds: bool) -> None:
    """y_t ← w (x_t − mean) / √(var + ε) + c, or y_t += if `adds`, for step t of a window that begins at step `first` of
    the sequence; x and y are [steps, batch, features]."""
    batch, features = x.shape[1:]
    x_t = x[t]
    y_t = y[t]
    mean = norm.mean[t]
    rstd = norm.rstd[t]
    running_mean = norm.running_mean[min(first + t, len(norm.running_mean) - 1)]
    running_var = norm.running_var[min(first + t, len(norm.running_var) - 1)]
    momentum, ε = norm.momentum, norm.ε
    parts = parts_of(batch)
    if norm.training:
        part_sums = np.empty((parts, 2, features), x.dtype)
        for part in prange(parts):
            mean_and_squares(x_t[part * PART : (part + 1) * PART], part_sums[part])
        squares = np.empty(features, x.dtype)
        together(part_sums, batch, mean, squares)
        for i in range(features):
            running_mean[i] += momentum * (mean[i] - running_mean[i])
            running_var[i] += momentum * (squares[i] / (batch - 1) - running_var[i])
            rstd[i] = 1 / np.sqrt(squares[i] / batch + ε)
    else:
        for i in range(features):
            mean[i], rstd[i] = running_mean[i], 1 / np.sqrt(running_var[i] + ε)
    w = norm.w
    c = norm.c
    for part in prange(parts):
        scaled(x_t[part * PART : (part + 1) * PART], mean, rstd, w, c, y_t[part * PART : (part + 1) * PART], adds)


@compiled
def mean_and_squares(x: Any, sums: Any) -> None:
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
    for i in range(features):
        sums[0, i], sums[1, i] = m[i], s[i]


@compiled
def together(part_sums: Any, batch: int, mean: Any, squares: Any) -> None:
    """Combine the parts: Σ (x − mean)² of all samples sums that of each part and n (mean of part − mean)². Source:
    Chan, Golub and LeVeque 1983."""
    parts, _, features = part_sums.shape
    mean[:] = 0
    squares[:] = 0
    for part in range(parts):
        share = min(PART, batch - part * PART) / batch
        for i in range(features):
            mean[i] += share * part_sums[part, 0, i]
    for part in range(parts):
        samples = min(PART, batch - part * PART)
        for i in range(features):
            off = part_sums[part, 0, i] - mean[i]
            squares[i] += part_sums[part, 1, i] + samples * off * off


@compiled
def scaled(x: Any, mean: Any, rstd: Any, w: Any, c: Any, y: Any, adds: bool) -> None:
    """y ← w (x − mean) rstd + c, or y +=."""
    samples, features = x.shape
    for n in range(samples):
        for i in range(features):
            y_i = (x[n, i] - mean[i]) * (rstd[i] * w[i]) + c[i]
            y[n, i] = y[n, i] + y_i if adds else y_i


@compiled
def normalise_adjoint(t: int, x: Any, norm: Norm, δy: Any, δx: Any, δw: Any, δc: Any) -> None:
    """δx_t = w / √(var + ε) (δy_t − mean(δy_t) − x̂_t mean(δy_t x̂_t)), the means over the batch and only in training;
    δw = Σ δy x̂ and δc = Σ δy over all steps. Steps are taken from the last of a window, which begins the sums, to the
    first."""
    batch, features = x.shape[1:]
    x_t = x[t]
    δy_t = δy[t]
    δx_t = δx[t]
    mean = norm.mean[t]
    rstd = norm.rstd[t]
    w = norm.w
    parts = parts_of(batch)
    part_sums = np.empty((parts, 2, features), x.dtype)
    for part in prange(parts):
        first, last = part * PART, (part + 1) * PART
        by_scale_and_shift(x_t[first:last], mean, rstd, δy_t[first:last], part_sums[part])
    by_w, by_c = np.empty(features, x.dtype), np.empty(features, x.dtype)
    add_rows_up(part_sums[:, 0], by_w)
    add_rows_up(part_sums[:, 1], by_c)
    begins = t == len(x) - 1
    for i in range(features):
        δw[i] = by_w[i] if begins else δw[i] + by_w[i]
        δc[i] = by_c[i] if begins else δc[i] + by_c[i]
        by_w[i] = by_w[i] / batch if norm.training else 0
        by_c[i] = by_c[i] / batch if norm.training else 0
    for part in prange(parts):
        first, last = part * PART, (part + 1) * PART
        adjoint_of_scaled(x_t[first:last], mean, rstd, w, δy_t[first:last], (by_w, by_c), δx_t[first:last])


@compiled
def by_scale_and_shift(x: Any, mean: Any, rstd: Any, δy: Any, sums: Any) -> None:
    """Compute Σ δy x̂ and Σ δy of some samples."""
    samples, features = x.shape
    by_w, by_c = np.zeros(features, x.dtype), np.zeros(features, x.dtype)
    for n in range(samples):
        for i in range(features):
            by_w[i] += δy[n, i] * (x[n, i] - mean[i])
            by_c[i] += δy[n, i]
    for i in range(features):
        sums[0, i], sums[1, i] = by_w[i] * rstd[i], by_c[i]


@compiled
def adjoint_of_scaled(x: Any, mean: Any, rstd: Any, w: Any, δy: Any, means: Any, δx: Any) -> None:
    """δx ← w rstd (δy − by_c − x̂ by_w); `means` are by_w and by_c."""
    samples, features = x.shape
    by_w = means[0]
    by_c = means[1]
    for n in range(samples):
        for i in range(features):
            x̂ = (x[n, i] - mean[i]) * rstd[i]
            δx[n, i] = w[i] * rstd[i] * (δy[n, i] - by_c[i] - x̂ * by_w[i])
