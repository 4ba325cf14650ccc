"""The window of the ALIF neuron."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from throughtime.neurons.alif import ALIF, ALIFState
from throughtime.neurons.kernels.kernel import Kernel, kernel_for, number_or_tensor, surrogate_factors
from throughtime.numerics.loops import compiled, prange, runs_compiled
from throughtime.numerics.spike_product import FEW_IN_A_RUN, add_rows_of_sample, nonzero, room_for_spiking


@kernel_for(ALIF)
class ALIFKernel(Kernel):
    """The ALIF neuron's window.

        v_t  = α v_{t−1} + (1 − α) I_t − z_{t−1} θ
        a_t  = ρ a_{t−1} + (1 − ρ) z_{t−1}
        y_t  = v_t − β a_t,                    x_t = (y_t − θ) / θ
        δy_t = ψ_t (δz_t + (1 − ρ) δa_{t+1}),  ψ_t = h(x_t) / θ
        δa_t = ρ δa_{t+1} − β δy_t
        δv_t = δy_t + α δv_{t+1},              δI_t = (1 − α) δv_t

    y_t takes the place of I_t.
    """

    def begin(self, state: ALIFState) -> None:
        self.α, self.a, self.before = number_or_tensor(self.neuron.alpha), state.a.clone(), state
        self.v = state.v.clone()
        self.V = torch.empty_like(self.I) if self.reads_v else None

    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        ρ, θ, β = self.neuron.rho, self.neuron.threshold, self.neuron.beta
        v = self.v if self.V is None else self.V[t]
        self.v = torch.lerp(I, self.v, self.α, out=v).sub_(z_before, alpha=θ)
        torch.lerp(z_before, self.a, ρ, out=self.a)
        torch.gt(torch.sub(self.v, self.a, alpha=β, out=I), θ, out=z)

    def run(self, t: int, z_before: Tensor, Z: Tensor, rows: Tensor) -> int:
        neuron, V = self.neuron, self.v[None] if self.V is None else self.V
        α, v = neuron.alpha.expand(neuron.size).contiguous(), self.v.clone()
        if runs_compiled(self.I, Z, V, rows, v, self.a, z_before, α):
            constants = (α, neuron.rho, neuron.threshold, neuron.beta)
            t = alif_steps(self.I, Z, V, rows, v, self.a, z_before, *constants, FEW_IN_A_RUN, t)
            self.v = v
        return t

    def end(self, z: Tensor) -> ALIFState:
        return ALIFState(self.own(self.v), self.own(self.a), self.own(z))

    def membranes(self) -> Tensor:
        return self.V

    def states(self, z: Tensor) -> ALIFState:
        A = torch.empty_like(z)
        torch.lerp(self.before.z, self.before.a, self.neuron.rho, out=A[0])
        for z_before, a_before, a in zip(z, A, A[1:], strict=False):
            torch.lerp(z_before, a_before, self.neuron.rho, out=a)
        return ALIFState(self.V, A, z)

    def begin_back(self, δ: ALIFState, z: Tensor, to_state: bool) -> None:
        θ, surrogate = self.neuron.threshold, self.neuron.surrogate
        self.ψ = surrogate_factors(surrogate, self.I, θ, scale=1 / θ)
        self.δv, self.δa, self.δa_end = torch.zeros_like(self.I[0]), torch.zeros_like(self.I[0]), δ.a

    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        ρ, β = self.neuron.rho, self.neuron.beta
        δy = δz.add_(self.δa, alpha=1 - ρ).mul_(self.ψ[t])
        self.δa.mul_(ρ).sub_(δy, alpha=β)
        if self.δa_end is not None:
            self.δa.add_(self.δa_end)
            self.δa_end = None
        self.δv.mul_(self.α).add_(δy)
        if δv is not None:
            self.δv.add_(δv)
        torch.mul(self.δv, 1 - self.α, out=δz)

    def state_gradient(self) -> ALIFState:
        ρ = self.neuron.rho
        return ALIFState(self.δv * self.α, self.δa * ρ, self.δa * (1 - ρ))


@compiled
def alif_steps(
    I: Any, Z: Any, V: Any, rows: Any, v: Any, a: Any, z: Any, α: Any, ρ: float, θ: float, β: float, few: float, t: int
) -> int:
    """The equations of `ALIFKernel` from step t on; v, a and z those before it, the first two in place. V is all steps
    or one."""
    spiking, sent = room_for_spiking(z), nonzero(z)
    while t < len(I) and sent <= few * z.size:
        y_t = I[t]
        z_t = Z[t]
        V_t = V[min(t, len(V) - 1)]
        sent = 0
        for b in prange(len(y_t)):
            add_rows_of_sample(y_t[b], z[b], rows, spiking[b])
            for j in range(len(α)):
                v_t = y_t[b, j] + α[j] * (v[b, j] - y_t[b, j]) - θ * z[b, j]
                a_t = z[b, j] + ρ * (a[b, j] - z[b, j])
                y = v_t - β * a_t
                spikes = y > θ
                v[b, j], a[b, j], V_t[b, j], y_t[b, j], z_t[b, j] = v_t, a_t, v_t, y, spikes
                sent += spikes
        z = z_t
        t += 1
    return t
