"""The ASRNN neuron's step from a state that is held constant, and its gradient.

    δx_t = h(x_t) δz_t,                                  x_t = v_t − θ_t
    δv_t = δx_t + what reads v_t,                        δI_t = (1 − α) R_m δv_t
    δb_t = −β (δx_t + z_{t−1} δv_t)
    δα   = Σ δv_t (v_{t−1} − R_m I_t),                   δρ   = Σ δb_t (b_{t−1} − z_{t−1})

The step's equations are in `asrnn.py`. Arrays are [batch, size], τ and τ_a are [size].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from throughtime.neurons.asrnn import ASRNN, ASRNNState
from throughtime.neurons.kernels.one_step import Gradients, NeuronOneStep, single_step_for
from throughtime.neurons.surrogate import SURROGATES, h_of_row
from throughtime.numerics.loops import bound, compiled, prange
from throughtime.numerics.reductions import PART, add_rows_up, parts_of


@single_step_for(ASRNN)
class ASRNNOneStep(NeuronOneStep):
    """A layer of ASRNN neurons."""

    def __init__(self, neuron: ASRNN, I: Tensor, state: ASRNNState, gradients: Gradients, reads_v: bool) -> None:
        super().__init__(I, state)
        α, ρ = I.new_empty(2, neuron.size).unbind(0)
        τ, τ_a, exponential = neuron.tau, neuron.tau_adaptation, neuron.decay == "exponential"
        constants = (neuron.resistance, neuron.beta, neuron.b0)
        surrogate, of_surrogate = SURROGATES[neuron.surrogate].in_loops
        how = (surrogate, I.new_tensor(of_surrogate), self.δz, self.δv)
        δ = (self.δI, gradients.of(τ), gradients.of(τ_a))
        for now, before in self.turns():
            self.add_turn(
                bound(step, I, τ, τ_a, exponential, *before, *now, α, ρ, *constants),
                bound(gradient, I, τ, τ_a, exponential, *before, now.v, now.b, α, ρ, *constants, *how, *δ),
            )


@compiled
def kept(τ: Any, exponential: bool, α: Any) -> None:
    """What time constants keep from step to step, α = exp(−1/τ) or σ(τ)."""
    one = τ.dtype.type(1)
    for i in range(len(τ)):
        α[i] = np.exp(-one / τ[i]) if exponential else one / (one + np.exp(-τ[i]))


@compiled
def step(
    I: Any,
    τ: Any,
    τ_a: Any,
    exponential: bool,
    v_before: Any,
    b_before: Any,
    z_before: Any,
    v: Any,
    b: Any,
    z: Any,
    α: Any,
    ρ: Any,
    R_m: float,
    β: float,
    b0: float,
) -> None:
    """v_t, b_t and z_t, and the α and ρ of the step."""
    kept(τ, exponential, α)
    kept(τ_a, exponential, ρ)
    for n in prange(len(I)):
        for i in range(I.shape[1]):
            drive = R_m * I[n, i]
            b_i = z_before[n, i] + ρ[i] * (b_before[n, i] - z_before[n, i])
            θ = b0 + β * b_i
            v_i = drive + α[i] * (v_before[n, i] - drive) - θ * z_before[n, i]
            v[n, i], b[n, i], z[n, i] = v_i, b_i, v_i > θ


@compiled
def gradient(
    I: Any,
    τ: Any,
    τ_a: Any,
    exponential: bool,
    v_before: Any,
    b_before: Any,
    z_before: Any,
    v: Any,
    b: Any,
    α: Any,
    ρ: Any,
    R_m: float,
    β: float,
    b0: float,
    surrogate: int,
    of_surrogate: Any,
    δz: Any,
    δv: Any,
    δI: Any,
    δτ: Any,
    δτ_a: Any,
) -> None:
    """δI_t, and what the time constants learn from the step."""
    batch, size = I.shape
    parts, one = parts_of(batch), I.dtype.type(1)
    of_parts = np.zeros((2, parts, size), I.dtype)
    for part in prange(parts):
        p = slice(part * PART, min(batch, (part + 1) * PART))
        gradient_of_part(
            I[p],
            v_before[p],
            b_before[p],
            z_before[p],
            v[p],
            b[p],
            α,
            R_m,
            β,
            b0,
            surrogate,
            of_surrogate,
            δz[p],
            δv[p],
            δI[p],
            of_parts[0, part],
            of_parts[1, part],
        )
    add_rows_up(of_parts[0], δτ)
    add_rows_up(of_parts[1], δτ_a)
    for i in range(size):
        δτ[i] *= α[i] / (τ[i] * τ[i]) if exponential else α[i] * (one - α[i])
        δτ_a[i] *= ρ[i] / (τ_a[i] * τ_a[i]) if exponential else ρ[i] * (one - ρ[i])


@compiled
def gradient_of_part(
    I: Any,
    v_before: Any,
    b_before: Any,
    z_before: Any,
    v: Any,
    b: Any,
    α: Any,
    R_m: float,
    β: float,
    b0: float,
    surrogate: int,
    of_surrogate: Any,
    δz: Any,
    δv: Any,
    δI: Any,
    δα: Any,
    δρ: Any,
) -> None:
    """Of some samples: δI_t, and what they add to δα and δρ."""
    samples, size = I.shape
    one = I.dtype.type(1)
    h = np.empty(size, I.dtype)
    for n in range(samples):
        for i in range(size):
            δI[n, i] = v[n, i] - β * b[n, i] - b0  # x_t, until its place is needed
        h_of_row(surrogate, of_surrogate, δI[n], h)
        for i in range(size):
            δx = h[i] * δz[n, i]
            δv_i = δx + δv[n, i]
            δb_i = -β * (δx + z_before[n, i] * δv_i)
            δα[i] += δv_i * (v_before[n, i] - R_m * I[n, i])
            δρ[i] += δb_i * (b_before[n, i] - z_before[n, i])
            δI[n, i] = (one - α[i]) * R_m * δv_i
