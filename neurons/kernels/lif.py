"""The window of the LIF neuron."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from throughtime.neurons.kernels.kernel import Kernel, add_product, kernel_for, number_or_tensor, surrogate_factors
from throughtime.neurons.lif import LIF, LIFState
from throughtime.numerics.loops import compiled, prange, runs_compiled
from throughtime.numerics.spike_product import FEW_IN_A_RUN, add_rows_of_sample, nonzero, room_for_spiking


@kernel_for(LIF)
class LIFKernel(Kernel):
    """The LIF neuron's window.

        v_t  = α v_{t−1} + (1 − α) I_t − z_{t−1} θ,      x_t = (v_t − θ) / θ
        δv_t = ψ_t δz_t + α δv_{t+1},                    ψ_t = h(x_t) / θ
        δI_t = (1 − α) δv_t

    v_t takes the place of I_t. On the way back (1 − α) is a part of ψ.
    """

    def begin(self, state: LIFState) -> None:
        self.α, self.v = number_or_tensor(self.neuron.alpha), state.v

    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        θ = self.neuron.threshold
        self.v = torch.lerp(I, self.v, self.α, out=I).sub_(z_before, alpha=θ)
        torch.gt(self.v, θ, out=z)

    def run(self, t: int, z_before: Tensor, Z: Tensor, rows: Tensor) -> int:
        α = self.neuron.alpha.expand(self.neuron.size).contiguous()
        if runs_compiled(self.I, Z, rows, self.v, z_before, α):
            t = lif_steps(self.I, Z, rows, self.v, z_before, α, self.neuron.threshold, FEW_IN_A_RUN, t)
            self.v = self.v if t == 0 else self.I[t - 1]
        return t

    def end(self, z: Tensor) -> LIFState:
        return LIFState(self.own(self.v), self.own(z))

    def membranes(self) -> Tensor:
        return self.I

    def states(self, z: Tensor) -> LIFState:
        return LIFState(self.I, z)

    def begin_back(self, δ: LIFState, z: Tensor, to_state: bool) -> None:
        θ, surrogate = self.neuron.threshold, self.neuron.surrogate
        self.ψ = surrogate_factors(surrogate, self.I, θ, scale=(1 - self.α) / θ)
        self.δI: Tensor | None = None

    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        δI = δz.mul_(self.ψ[t])
        if self.δI is not None:
            add_product(δI, self.α, self.δI)
        if δv is not None:
            add_product(δI, 1 - self.α, δv)
        self.δI = δI

    def state_gradient(self) -> LIFState:
        return LIFState(self.δI * (self.α / (1 - self.α)), torch.zeros_like(self.δI))


@compiled
def lif_steps(I: Any, Z: Any, rows: Any, v: Any, z: Any, α: Any, θ: float, few: float, t: int) -> int:
    """The equations of `LIFKernel` from step t on, v and z those before it."""
    spiking, sent = room_for_spiking(z), nonzero(z)
    while t < len(I) and sent <= few * z.size:
        v_t = I[t]
        z_t = Z[t]
        sent = 0
        for b in prange(len(v_t)):
            add_rows_of_sample(v_t[b], z[b], rows, spiking[b])
            for j in range(len(α)):
                x = v_t[b, j] + α[j] * (v[b, j] - v_t[b, j]) - θ * z[b, j]
                spikes = x > θ
                v_t[b, j], z_t[b, j] = x, spikes
                sent += spikes
        v, z = v_t, z_t
        t += 1
    return t
