"""The LTC neuron's step from a state that is held constant, and its gradient in closed form.

δz_t and δv_t come from all readers of z_t and v_t; nothing else reads the state:

    δx_t = h(x_t) (δz_t − ṽ_t δv_t)                      the reset's part only where its gradient flows
    δṽ_t = δx_t + (1 − z_t) δv_t,                        δb_t = −β δx_t
    δg_a = κ_a a (1 − a) (I_t − v_{t−1}) δṽ_t,           δg_ρ = κ_ρ ρ (1 − ρ) (b_{t−1} − z_{t−1}) δb_t
    δI_t = a δṽ_t, and through both gates

The step's equations are in `ltc.py`, names as in `ltc_loops.py`. Arrays are [batch, size]; slopes have no
dimension.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from throughtime.neurons.kernels.ltc_loops import adaptive_step, gate_gradients, membrane_step
from throughtime.neurons.kernels.one_step import Gradients, NeuronOneStep, single_step_for
from throughtime.neurons.ltc import LTC, LTCState
from throughtime.neurons.surrogate import SURROGATES, h_of_row
from throughtime.numerics.exp2 import PER_E, sigmoid
from throughtime.numerics.gemm import gemm
from throughtime.numerics.loops import bound, compiled, prange
from throughtime.numerics.reductions import PART, parts_of


@single_step_for(LTC)
class LTCOneStep(NeuronOneStep):
    """Single steps of a layer of LTC neurons."""

    def __init__(self, neuron: LTC, I: Tensor, state: LTCState, gradients: Gradients, reads_v: bool) -> None:
        super().__init__(I, state)
        gate_a = gate_ρ = neuron.membrane_gate
        if neuron.adaptive and neuron.adaptation_gate is not None:
            gate_ρ = neuron.adaptation_gate
        one = I.new_ones(())
        κ_a, κ_ρ = (one if κ is None else κ for κ in (neuron.membrane_slope, neuron.adaptation_slope))
        g_a, δg_a, g_ρ, δg_ρ = I.new_empty(4, *I.shape).unbind(0)
        maps = (gate_a.weight, gate_a.bias, κ_a, g_a, gate_ρ.weight, gate_ρ.bias, κ_ρ, g_ρ)
        β = neuron.beta if neuron.adaptive else 0.0
        surrogate, constants = SURROGATES[neuron.surrogate].in_loops
        how = (β, neuron.b0, float(neuron.reset_gradient), reads_v, surrogate, I.new_tensor(constants))
        of_a = [gradients.of(p) for p in (gate_a.weight, gate_a.bias, κ_a)]
        of_ρ = [gradients.of(p) for p in (gate_ρ.weight, gate_ρ.bias, κ_ρ)] if neuron.adaptive else of_a
        for now, before in self.turns():
            if neuron.adaptive:
                step = bound(adaptive_step, I, *maps, *before, now.z, now.v, now.b, β, neuron.b0)
            else:
                now.b.copy_(state.b)
                step = bound(membrane_step, I, *maps[:4], before.v, now.z, now.v, neuron.b0)
            states = (*before, now.b, now.z)
            δ = (self.δz, self.δv, self.δI, δg_a, δg_ρ, *of_a, *of_ρ)
            self.add_buffer(step, bound(gradient, I, *maps, *states, neuron.adaptive, *how, *δ))


@compiled
def gradient(
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
    b: Any,
    z: Any,
    adaptive: bool,
    β: float,
    b0: float,
    resets: float,
    reads_v: bool,
    surrogate: int,
    constants: Any,
    δz: Any,
    δv: Any,
    δI: Any,
    δg_a: Any,
    δg_ρ: Any,
    δW_a: Any,
    δb_a: Any,
    δκ_a: Any,
    δW_ρ: Any,
    δb_ρ: Any,
    δκ_ρ: Any,
) -> None:
    """Compute δI_t and the gradients of the parameters; those of gate ρ only if `adaptive`."""
    batch, size = I.shape
    parts = parts_of(batch)
    slope_a, slope_ρ, δκ = κ_a[()], κ_ρ[()], np.zeros((2, parts), I.dtype)
    for part in prange(parts):
        p = slice(part * PART, min(batch, (part + 1) * PART))
        room = np.empty((2, p.stop - p.start, size), I.dtype)
        δκ[0, part] = membrane_gradient(
            I[p],
            g_a[p],
            slope_a,
            v_before[p],
            b[p],
            z[p],
            β,
            b0,
            resets,
            reads_v,
            surrogate,
            constants,
            δz[p],
            δv[p],
            room[0],
            room[1],
            δI[p],
            δg_a[p],
        )
        if adaptive:
            δκ[1, part] = adaptation_gradient(g_ρ[p], slope_ρ, b_before[p], z_before[p], β, room[0], δg_ρ[p])
    gemm(δg_a, False, W_a[:, :size], False, 1, δI)
    gate_gradients(δg_a, I, v_before, v_before, δW_a, δb_a)
    δκ_a[()] = δκ[0].sum()
    if adaptive:
        gemm(δg_ρ, False, W_ρ[:, :size], False, 1, δI)
        gate_gradients(δg_ρ, I, b_before, b_before, δW_ρ, δb_ρ)
        δκ_ρ[()] = δκ[1].sum()


@compiled
def membrane_gradient(
    I: Any,
    g: Any,
    κ: float,
    v_before: Any,
    b: Any,
    z: Any,
    β: float,
    b0: float,
    resets: float,
    reads_v: bool,
    surrogate: int,
    constants: Any,
    δz: Any,
    δv: Any,
    δx: Any,
    h: Any,
    δI: Any,
    δg: Any,
) -> float:
    """Compute δx_t, δI_t without the gates and δg_a for some samples, and return their δκ_a; h is scratch memory."""
    samples, size = I.shape
    one = I.dtype.type(1)
    κ2 = I.dtype.type(PER_E) * κ
    for n in range(samples):
        for i in range(size):
            a = sigmoid(g[n, i], κ2, one)
            δI[n, i] = a
            δx[n, i] = v_before[n, i] + a * (I[n, i] - v_before[n, i]) - b0 - β * b[n, i]
    h_of_row(surrogate, constants, δx.ravel(), h.ravel())
    δκ = κ - κ
    for n in range(samples):
        if reads_v:
            for i in range(size):
                ṽ = v_before[n, i] + δI[n, i] * (I[n, i] - v_before[n, i])
                δx[n, i] = h[n, i] * (δz[n, i] - resets * ṽ * δv[n, i])
                h[n, i] = δx[n, i] + (one - z[n, i]) * δv[n, i]
        else:
            for i in range(size):
                δx[n, i] = h[n, i] * δz[n, i]
                h[n, i] = δx[n, i]
        for i in range(size):
            a, δṽ = δI[n, i], h[n, i]
            by_slope = (a - a * a) * (I[n, i] - v_before[n, i]) * δṽ
            δI[n, i] = a * δṽ
            δg[n, i] = κ * by_slope
            δκ += g[n, i] * by_slope
    return δκ


@compiled
def adaptation_gradient(g: Any, κ: float, b_before: Any, z_before: Any, β: float, δx: Any, δg: Any) -> float:
    """Compute δg_ρ for some samples, and return their δκ_ρ."""
    samples, size = g.shape
    one = g.dtype.type(1)
    κ2 = g.dtype.type(PER_E) * κ
    δκ = κ - κ
    for n in range(samples):
        for i in range(size):
            ρ, fall = sigmoid(g[n, i], κ2, one), b_before[n, i] - z_before[n, i]
            by_slope = (ρ - ρ * ρ) * fall * (-β * δx[n, i])
            δg[n, i] = κ * by_slope
            δκ += g[n, i] * by_slope
    return δκ
