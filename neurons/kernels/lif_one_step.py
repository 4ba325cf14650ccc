"""The step of the LIF and of the ALIF neuron from a state that is held constant, and its gradient.

    δx_t = h(x_t) δz_t,     δI_t = (1 − α) (δx_t / θ + δv_t)

from δz_t and δv_t of all that reads z_t and v_t. Equations and x_t are in `lif.py` and `alif.py`; arrays are
[batch, size], α is [size].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from throughtime.neurons.alif import ALIF, ALIFState
from throughtime.neurons.kernels.one_step import Gradients, NeuronOneStep, single_step_for
from throughtime.neurons.lif import LIF, LIFState
from throughtime.neurons.surrogate import SURROGATES, h_of_row
from throughtime.numerics.loops import bound, compiled, prange
from throughtime.numerics.reductions import PART, parts_of


@single_step_for(LIF)
@single_step_for(ALIF)
class LIFOneStep(NeuronOneStep):
    """A layer of LIF neurons, or of ALIF neurons: the first have no a, and β = 0."""

    def __init__(
        self, neuron: LIF | ALIF, I: Tensor, state: LIFState | ALIFState, gradients: Gradients, reads_v: bool
    ) -> None:
        super().__init__(I, state)
        α, θ = neuron.alpha.expand(neuron.size).contiguous(), neuron.threshold
        surrogate, constants = SURROGATES[neuron.surrogate].in_loops
        for now, before in self.turns():
            a, β = now.v, 0.0
            if hasattr(now, "a"):
                a, β = now.a, neuron.beta
                step = bound(alif_step, I, *before, *now, α, neuron.rho, θ, β)
            else:
                step = bound(lif_step, I, *before, *now, α, θ)
            how = (α, θ, β, surrogate, I.new_tensor(constants))
            self.add_turn(step, bound(gradient, now.v, a, *how, self.δz, self.δv, self.δI))


@compiled
def lif_step(I: Any, v_before: Any, z_before: Any, v: Any, z: Any, α: Any, θ: float) -> None:
    """v_t and z_t."""
    for n in prange(len(I)):
        for i in range(I.shape[1]):
            v_i = I[n, i] + α[i] * (v_before[n, i] - I[n, i]) - θ * z_before[n, i]
            v[n, i], z[n, i] = v_i, v_i > θ


@compiled
def alif_step(
    I: Any,
    v_before: Any,
    a_before: Any,
    z_before: Any,
    v: Any,
    a: Any,
    z: Any,
    α: Any,
    ρ: float,
    θ: float,
    β: float,
) -> None:
    """v_t, a_t and z_t."""
    for n in prange(len(I)):
        for i in range(I.shape[1]):
            v_i = I[n, i] + α[i] * (v_before[n, i] - I[n, i]) - θ * z_before[n, i]
            a_i = z_before[n, i] + ρ * (a_before[n, i] - z_before[n, i])
            v[n, i], a[n, i], z[n, i] = v_i, a_i, v_i - β * a_i > θ


@compiled
def gradient(
    v: Any, a: Any, α: Any, θ: float, β: float, surrogate: int, constants: Any, δz: Any, δv: Any, δI: Any
) -> None:
    """δI_t."""
    batch, size = v.shape
    one = v.dtype.type(1)
    for part in prange(parts_of(batch)):
        h = np.empty(size, v.dtype)
        for n in range(part * PART, min(batch, (part + 1) * PART)):
            for i in range(size):
                δI[n, i] = (v[n, i] - β * a[n, i] - θ) / θ  # x_t, until its place is needed
            h_of_row(surrogate, constants, δI[n], h)
            for i in range(size):
                δI[n, i] = (one - α[i]) * (h[i] * δz[n, i] / θ + δv[n, i])
