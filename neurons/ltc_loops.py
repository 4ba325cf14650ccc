"""The elementwise part of the LTC neuron's step and of its adjoint, a pass over memory each; `ltc_kernel.py` has the
same as tensor operations. Arrays are [batch, size]; z may be bytes. g is what goes into a gate, κ its slope, and the
gate σ(κ g) = 1 / (1 + 2^(κ₂ g)) with κ₂ = −κ log₂ e."""

from __future__ import annotations

from typing import Any

from throughtime.compiled import compiled, prange
from throughtime.exp2 import exp2


@compiled
def opened(g: float, κ2: float, one: float) -> float:
    """σ(κ g)."""
    return one / (one + exp2(κ2 * g))


@compiled
def membrane_step(I: Any, g_a: Any, κ2_a: float, v_before: Any, z: Any, v: Any, b0: float) -> None:
    """z_t and v_t where there is no adaptation, θ = b_0."""
    I, g_a, v_before, z, v = I.ravel(), g_a.ravel(), v_before.ravel(), z.ravel(), v.ravel()
    zero, one = I.dtype.type(0), I.dtype.type(1)
    for i in prange(len(I)):
        a = opened(g_a[i], κ2_a, one)
        ṽ = v_before[i] + a * (I[i] - v_before[i])
        spikes = ṽ > b0
        z[i] = spikes
        v[i] = zero if spikes else ṽ


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
    I, g_a, g_ρ, z, v, b = I.ravel(), g_a.ravel(), g_ρ.ravel(), z.ravel(), v.ravel(), b.ravel()
    v_before, b_before, z_before = v_before.ravel(), b_before.ravel(), z_before.ravel()
    zero, one = I.dtype.type(0), I.dtype.type(1)
    for i in prange(len(I)):
        a = opened(g_a[i], κ2_a, one)
        ρ = opened(g_ρ[i], κ2_ρ, one)
        b_t = z_before[i] + ρ * (b_before[i] - z_before[i])
        ṽ = v_before[i] + a * (I[i] - v_before[i])
        spikes = ṽ - β * b_t > b0
        z[i] = spikes
        v[i] = zero if spikes else ṽ
        b[i] = b_t


@compiled
def past_threshold(I: Any, g_a: Any, κ2_a: float, v_before: Any, b: Any, β: float, b0: float, x: Any) -> None:
    """x_t = ṽ_t − b_0 − β b_t."""
    I, g_a, v_before, b, x = I.ravel(), g_a.ravel(), v_before.ravel(), b.ravel(), x.ravel()
    one = I.dtype.type(1)
    for i in prange(len(I)):
        a = opened(g_a[i], κ2_a, one)
        x[i] = v_before[i] + a * (I[i] - v_before[i]) - b0 - β * b[i]


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
    I, g_a, v_before, z, h = I.ravel(), g_a.ravel(), v_before.ravel(), z.ravel(), h.ravel()
    δz, δv, δg_a = δz.ravel(), δv.ravel(), δg_a.ravel()
    one = I.dtype.type(1)
    δκ_a = I.dtype.type(0)
    for i in prange(len(I)):
        a, gap = opened(g_a[i], κ2_a, one), I[i] - v_before[i]
        δx = h[i] * (δz[i] - resets * (v_before[i] + a * gap) * δv[i])
        δṽ = δx if z[i] else δx + δv[i]
        δz[i] = a * δṽ
        δv[i] = δṽ - a * δṽ
        by_slope = (a - a * a) * gap * δṽ
        δg_a[i] = κ_a * by_slope
        δκ_a += g_a[i] * by_slope
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
    I, g_a, g_ρ, z, h = I.ravel(), g_a.ravel(), g_ρ.ravel(), z.ravel(), h.ravel()
    v_before, b_before, z_before = v_before.ravel(), b_before.ravel(), z_before.ravel()
    δz, δv, δb = δz.ravel(), δv.ravel(), δb.ravel()
    δz_before, δg_a, δg_ρ = δz_before.ravel(), δg_a.ravel(), δg_ρ.ravel()
    one = I.dtype.type(1)
    δκ_a, δκ_ρ = I.dtype.type(0), I.dtype.type(0)
    for i in prange(len(I)):
        a, gap = opened(g_a[i], κ2_a, one), I[i] - v_before[i]
        ρ, fall = opened(g_ρ[i], κ2_ρ, one), b_before[i] - z_before[i]
        δx = h[i] * (δz[i] + δz_before[i] - resets * (v_before[i] + a * gap) * δv[i])
        δṽ = δx if z[i] else δx + δv[i]
        δz[i] = a * δṽ
        δv[i] = δṽ - a * δṽ
        δb_t = δb[i] - β * δx
        δb[i] = ρ * δb_t
        δz_before[i] = δb_t - ρ * δb_t
        by_slope_a, by_slope_ρ = (a - a * a) * gap * δṽ, (ρ - ρ * ρ) * fall * δb_t
        δg_a[i], δg_ρ[i] = κ_a * by_slope_a, κ_ρ * by_slope_ρ
        δκ_a += g_a[i] * by_slope_a
        δκ_ρ += g_ρ[i] * by_slope_ρ
    return δκ_a, δκ_ρ
