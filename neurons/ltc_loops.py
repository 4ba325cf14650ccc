"""What a step of LTC and its adjoint do to each number, in one pass over memory: the equations of `ltc.py` and of
`LTCKernel`, which has the same as tensor operations. Arrays are [batch, size]; z may be bytes."""

from __future__ import annotations

from typing import Any

from throughtime.compiled import compiled


@compiled
def membrane_step(I: Any, a: Any, v_before: Any, z: Any, v: Any, b0: float) -> None:
    """z_t and v_t where there is no adaptation, θ = b_0."""
    I, a, v_before, z, v = I.ravel(), a.ravel(), v_before.ravel(), z.ravel(), v.ravel()
    for i in range(len(I)):
        ṽ = v_before[i] + a[i] * (I[i] - v_before[i])
        spikes = ṽ > b0
        z[i] = spikes
        v[i] = ṽ - ṽ if spikes else ṽ  # not the number 0, which has another precision


@compiled
def adaptive_step(
    I: Any, a: Any, ρ: Any, v_before: Any, b_before: Any, z_before: Any, z: Any, v: Any, b: Any, β: float, b0: float
) -> None:
    """z_t, v_t and b_t."""
    I, a, ρ, z, v, b = I.ravel(), a.ravel(), ρ.ravel(), z.ravel(), v.ravel(), b.ravel()
    v_before, b_before, z_before = v_before.ravel(), b_before.ravel(), z_before.ravel()
    for i in range(len(I)):
        b_t = z_before[i] + ρ[i] * (b_before[i] - z_before[i])
        ṽ = v_before[i] + a[i] * (I[i] - v_before[i])
        spikes = ṽ - β * b_t > b0
        z[i] = spikes
        v[i] = ṽ - ṽ if spikes else ṽ
        b[i] = b_t


@compiled
def membrane_adjoint(I: Any, a: Any, v_before: Any, z: Any, h: Any, δz: Any, δv: Any, δg: Any, resets: float) -> None:
    """From δz_t and δv_t make δI_t and δv_{t−1} in their memory, and a_t (1 − a_t) δa_t; `resets`: 1 where the reset's
    gradient flows, else 0."""
    I, a, v_before, z, h = I.ravel(), a.ravel(), v_before.ravel(), z.ravel(), h.ravel()
    δz, δv, δg = δz.ravel(), δv.ravel(), δg.ravel()
    for i in range(len(I)):
        gap = I[i] - v_before[i]
        δx = h[i] * (δz[i] - resets * (v_before[i] + a[i] * gap) * δv[i])
        δṽ = δx if z[i] else δx + δv[i]
        δz[i] = a[i] * δṽ
        δv[i] = δṽ - a[i] * δṽ
        δg[i] = (a[i] - a[i] * a[i]) * gap * δṽ


@compiled
def adaptive_adjoint(
    I: Any,
    a: Any,
    ρ: Any,
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
) -> None:
    """As `membrane_adjoint`; from δb_t δb_{t−1} in its memory; in `δz_before`, from what step t + 1 has of z_t inside
    the neuron, that of z_{t−1}."""
    I, a, ρ, z, h = I.ravel(), a.ravel(), ρ.ravel(), z.ravel(), h.ravel()
    v_before, b_before, z_before = v_before.ravel(), b_before.ravel(), z_before.ravel()
    δz, δv, δb = δz.ravel(), δv.ravel(), δb.ravel()
    δz_before, δg_a, δg_ρ = δz_before.ravel(), δg_a.ravel(), δg_ρ.ravel()
    for i in range(len(I)):
        gap = I[i] - v_before[i]
        δx = h[i] * (δz[i] + δz_before[i] - resets * (v_before[i] + a[i] * gap) * δv[i])
        δṽ = δx if z[i] else δx + δv[i]
        δz[i] = a[i] * δṽ
        δv[i] = δṽ - a[i] * δṽ
        δg_a[i] = (a[i] - a[i] * a[i]) * gap * δṽ
        δb_t = δb[i] - β * δx
        δb[i] = ρ[i] * δb_t
        δz_before[i] = δb_t - ρ[i] * δb_t
        δg_ρ[i] = (ρ[i] - ρ[i] * ρ[i]) * (b_before[i] - z_before[i]) * δb_t
