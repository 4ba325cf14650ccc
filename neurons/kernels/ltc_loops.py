"""Loops of the LTC neuron's step and its adjoint; `ltc.py` has the same as tensor operations.

Arrays are [batch, size]; z may be bytes. g is the argument of a gate σ(κ g) and κ its slope, in steps an array without
dimensions; κ₂ is `base_two(κ)`. W and b are the map of the gate: W is [size, 2 size] for [I_t ; s_{t−1}], or
[size, size] for I_t + s_{t−1}.
"""

from __future__ import annotations

from typing import Any

from throughtime.numerics.exp2 import base_two_of, sigmoid
from throughtime.numerics.gemm import gemm
from throughtime.numerics.loops import compiled, prange
from throughtime.numerics.reductions import sum_of_rows


@compiled
def membrane_step(I: Any, W_a: Any, b_a: Any, κ_a: Any, g_a: Any, v_before: Any, z: Any, v: Any, b0: float) -> None:
    """Compute g of gate a, z_t and v_t without adaptation, θ = b_0."""
    gate(I, v_before, W_a, b_a, v, g_a)
    κ2_a, zero, one = base_two_of(κ_a), I.dtype.type(0), I.dtype.type(1)
    for n in prange(len(I)):
        for i in range(I.shape[1]):
            a = sigmoid(g_a[n, i], κ2_a, one)
            ṽ = v_before[n, i] + a * (I[n, i] - v_before[n, i])
            spikes = ṽ > b0
            z[n, i] = spikes
            v[n, i] = zero if spikes else ṽ


@compiled
def adaptive_step(
    I: Any,
    W_a: Any,
    b_a: Any,
    κ_a: Any,
    g_a: Any,
    W_ρ: Any,
    b_ρ: Any,
    κ_ρ: Any,
    g_ρ: Any,
    v_before: Any,
    b_before: Any,
    z_before: Any,
    z: Any,
    v: Any,
    b: Any,
    β: float,
    b0: float,
) -> None:
    """Compute g of both gates, z_t, v_t and b_t."""
    gate(I, v_before, W_a, b_a, v, g_a)
    gate(I, b_before, W_ρ, b_ρ, b, g_ρ)
    κ2_a, κ2_ρ, zero, one = base_two_of(κ_a), base_two_of(κ_ρ), I.dtype.type(0), I.dtype.type(1)
    for n in prange(len(I)):
        for i in range(I.shape[1]):
            a = sigmoid(g_a[n, i], κ2_a, one)
            ρ = sigmoid(g_ρ[n, i], κ2_ρ, one)
            b_t = z_before[n, i] + ρ * (b_before[n, i] - z_before[n, i])
            ṽ = v_before[n, i] + a * (I[n, i] - v_before[n, i])
            spikes = ṽ - β * b_t > b0
            z[n, i] = spikes
            v[n, i] = zero if spikes else ṽ
            b[n, i] = b_t


@compiled
def gate(I: Any, s: Any, W: Any, b: Any, room: Any, g: Any) -> None:
    """Compute g_t from I_t and s_{t−1}; `room` is scratch memory."""
    size = I.shape[1]
    for n in prange(len(I)):
        for i in range(size):
            g[n, i] = b[i]
    if W.shape[1] == size:
        for n in prange(len(I)):
            for i in range(size):
                room[n, i] = I[n, i] + s[n, i]
        gemm(room, False, W, True, 1, g)
    else:
        gemm(I, False, W[:, :size], True, 1, g)
        gemm(s, False, W[:, size:], True, 1, g)


@compiled
def past_threshold(I: Any, g_a: Any, κ2_a: float, v_before: Any, b: Any, β: float, b0: float, x: Any) -> None:
    """x_t = ṽ_t − b_0 − β b_t."""
    one = I.dtype.type(1)
    for n in prange(len(I)):
        for i in range(I.shape[1]):
            a = sigmoid(g_a[n, i], κ2_a, one)
            x[n, i] = v_before[n, i] + a * (I[n, i] - v_before[n, i]) - b0 - β * b[n, i]


@compiled
def membrane_adjoint(
    I: Any,
    W_a: Any,
    g_a: Any,
    κ_a: float,
    κ2_a: float,
    v_before: Any,
    z: Any,
    h: Any,
    δz: Any,
    δv: Any,
    δg_a: Any,
    resets: float,
    to_past: bool,
) -> float:
    """Compute δg_t, overwrite δz_t by δI_t and δv_t by δv_{t−1}, and return the contribution of step t to δκ. `resets`
    is 1 if the gradient of the reset flows, else 0. h is overwritten."""
    one = I.dtype.type(1)
    δκ_a = I.dtype.type(0)
    for n in prange(len(I)):
        for i in range(I.shape[1]):
            a, gap = sigmoid(g_a[n, i], κ2_a, one), I[n, i] - v_before[n, i]
            δx = h[n, i] * (δz[n, i] - resets * (v_before[n, i] + a * gap) * δv[n, i])
            δṽ = δx if z[n, i] else δx + δv[n, i]
            δz[n, i] = a * δṽ
            δv[n, i] = δṽ - a * δṽ
            by_slope = (a - a * a) * gap * δṽ
            δg_a[n, i] = κ_a * by_slope
            δκ_a += g_a[n, i] * by_slope
    gate_adjoint(W_a, δg_a, h, δz, δv, to_past)
    return δκ_a


@compiled
def adaptive_adjoint(
    I: Any,
    W_a: Any,
    g_a: Any,
    κ_a: float,
    κ2_a: float,
    W_ρ: Any,
    g_ρ: Any,
    κ_ρ: float,
    κ2_ρ: float,
    v_before: Any,
    b_before: Any,
    z_before: Any,
    z: Any,
    h: Any,
    δz: Any,
    δv: Any,
    δb: Any,
    δz_before: Any,
    δg_a: Any,
    δg_ρ: Any,
    β: float,
    resets: float,
    to_past: bool,
) -> tuple[float, float]:
    """The adjoint with adaptation. In addition to `membrane_adjoint` it overwrites δb_t by δb_{t−1}, and `δz_before`,
    the gradient of z_t from step t + 1 inside the neuron, by that of z_{t−1}."""
    one = I.dtype.type(1)
    δκ_a, δκ_ρ = I.dtype.type(0), I.dtype.type(0)
    for n in prange(len(I)):
        for i in range(I.shape[1]):
            a, gap = sigmoid(g_a[n, i], κ2_a, one), I[n, i] - v_before[n, i]
            ρ, fall = sigmoid(g_ρ[n, i], κ2_ρ, one), b_before[n, i] - z_before[n, i]
            δx = h[n, i] * (δz[n, i] + δz_before[n, i] - resets * (v_before[n, i] + a * gap) * δv[n, i])
            δṽ = δx if z[n, i] else δx + δv[n, i]
            δz[n, i] = a * δṽ
            δv[n, i] = δṽ - a * δṽ
            δb_t = δb[n, i] - β * δx
            δb[n, i] = ρ * δb_t
            δz_before[n, i] = δb_t - ρ * δb_t
            by_slope_a, by_slope_ρ = (a - a * a) * gap * δṽ, (ρ - ρ * ρ) * fall * δb_t
            δg_a[n, i], δg_ρ[n, i] = κ_a * by_slope_a, κ_ρ * by_slope_ρ
            δκ_a += g_a[n, i] * by_slope_a
            δκ_ρ += g_ρ[n, i] * by_slope_ρ
    gate_adjoint(W_a, δg_a, h, δz, δv, to_past)
    gate_adjoint(W_ρ, δg_ρ, h, δz, δb, to_past)
    return δκ_a, δκ_ρ


@compiled
def gate_adjoint(W: Any, δg: Any, room: Any, δI: Any, δs: Any, to_past: bool) -> None:
    """[δI_t ; δs_{t−1}] += Wᵀ δg_t; δs_{t−1} is needed only if `to_past`. `room` is scratch memory."""
    size = δI.shape[1]
    if W.shape[1] == size:
        gemm(δg, False, W, False, 0, room)
        for n in prange(len(δI)):
            for i in range(size):
                δI[n, i] += room[n, i]
                δs[n, i] += room[n, i]
    else:
        gemm(δg, False, W[:, :size], False, 1, δI)
        if to_past:
            gemm(δg, False, W[:, size:], False, 1, δs)


@compiled
def gate_gradients(δg: Any, I: Any, s_first: Any, s: Any, δW: Any, δb: Any) -> None:
    """δW = Σ_t δg_t [I_t ; s_{t−1}]ᵀ, or Σ_t δg_t (I_t + s_{t−1})ᵀ, and δb = Σ_t δg_t. Arrays are
    [steps · batch, size]; s_first, [batch, size], is s before all steps."""
    size, batch = I.shape[1], len(s_first)
    by_s = δW[:, δW.shape[1] - size :]  # all of δW if the gate reads their sum
    gemm(δg, True, I, False, 0, δW[:, :size])
    gemm(δg[:batch], True, s_first, False, δW.shape[1] == size, by_s)
    if len(δg) > batch:
        gemm(δg[batch:], True, s[: len(s) - batch], False, 1, by_s)
    sum_of_rows(δg, δb)
