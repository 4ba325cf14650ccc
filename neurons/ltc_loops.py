"""The elementwise part of the LTC neuron's step and of its adjoint, a pass over memory each; `ltc_kernel.py` has the
same as tensor operations. Arrays are [batch, size]; z may be bytes. g is what goes into a gate σ(κ g), κ its slope, κ₂
`base_two(κ)`."""

from __future__ import annotations

from typing import Any

from throughtime.compiled import compiled, prange
from throughtime.exp2 import sigmoid


@compiled
def membrane_step(I: Any, g_a: Any, κ2_a: float, v_before: Any, z: Any, v: Any, b0: float) -> None:
    """z_t and v_t where there is no adaptation, θ = b_0."""
    zero, one = I.dtype.type(0), I.dtype.type(1)
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
    g_a: Any,
    κ2_a: float,
    g_ρ: Any,
    κ2_ρ: float,
    v_before: Any,
    b_before: Any,
    z_before: Any,
    z: Any,
    v: Any,
    b: Any,
    β: float,
    b0: float,
) -> None:
    """z_t, v_t and b_t."""
    zero, one = I.dtype.type(0), I.dtype.type(1)
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
) -> float:
    """From δz_t and δv_t make δI_t and δv_{t−1} in their memory, and δg_t; `resets`: 1 where the reset's gradient
    flows, else 0. What step t adds to δκ is returned."""
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
    return δκ_a


@compiled
def adaptive_adjoint(
    I: Any,
    g_a: Any,
    κ_a: float,
    κ2_a: float,
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
) -> tuple[float, float]:
    """As `membrane_adjoint`; from δb_t δb_{t−1} in its memory; in `δz_before`, from what step t + 1 has of z_t inside
    the neuron, that of z_{t−1}."""
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
    return δκ_a, δκ_ρ
