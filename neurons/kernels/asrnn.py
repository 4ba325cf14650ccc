"""The window of the ASRNN neuron."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.neurons.asrnn import ASRNN, ASRNNState
from throughtime.neurons.kernels.kernel import Kernel, kernel_for, slots
from throughtime.neurons.surrogate import SURROGATES


@kernel_for(ASRNN)
class ASRNNKernel(Kernel):
    """The ASRNN neuron's window. Its equations are below, x_t = v_t − θ_t; their adjoint, from t = T − 1 on:

        δz_t += (1 − ρ) δb_{t+1} − θ_{t+1} δv_{t+1}        the reset's part only where its gradient flows
        δx_t  = h(x_t) δz_t
        δv_t  = δx_t + α δv_{t+1},                         δI_t = (1 − α) R_m δv_t
        δb_t  = −β (δx_t + z_{t−1} δv_t) + ρ δb_{t+1}
        δα    = Σ_t δv_t (v_{t−1} − R_m I_t),              δρ = Σ_t δb_t (b_{t−1} − z_{t−1})

    Kept: I, v and b.
    """

    neuron: ASRNN

    def begin(self, state: ASRNNState) -> None:
        neuron, self.before = self.neuron, state
        self.α, self.ρ = neuron.kept(neuron.tau.detach()), neuron.kept(neuron.tau_adaptation.detach())
        self.R_m = neuron.resistance
        self.V, self.v = slots(self.I, self.keep or self.reads_v)
        self.B, self.b = slots(self.I, self.keep)

    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        neuron, v_before, b_before = self.neuron, *self._past(t)
        b = torch.lerp(z_before, b_before, self.ρ, out=self.b[t])
        θ = (neuron.beta * b).add_(neuron.b0)
        v = torch.lerp(I * self.R_m, v_before, self.α, out=self.v[t]).addcmul_(θ, z_before, value=-1)
        torch.gt(v, θ, out=z)

    def _past(self, t: int) -> tuple[Tensor, Tensor]:
        """v_{t−1} and b_{t−1}."""
        return (self.v[t - 1], self.b[t - 1]) if t else (self.before.v, self.before.b)

    def end(self, z: Tensor) -> ASRNNState:
        return ASRNNState(self.own(self.v[-1]), self.own(self.b[-1]), self.own(z))

    def membranes(self) -> Tensor:
        return self.V

    def states(self, z: Tensor) -> ASRNNState:
        return ASRNNState(self.V, self.B, z)

    def begin_back(self, δ: ASRNNState, z: Tensor, to_state: bool) -> None:
        self.z, self.δb_end = z.unbind(0), δ.b
        self.δz, self.δv, self.δb, self.δα, self.δρ = (torch.zeros_like(self.before.v) for _ in range(5))

    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        neuron, v_before, b_before = self.neuron, *self._past(t)
        z_before = self.before.z if t == 0 else self.z[t - 1].to(δz.dtype)
        θ = (neuron.beta * self.b[t]).add_(neuron.b0)
        δx = δz.add_(self.δz).mul_(SURROGATES[neuron.surrogate].h(self.v[t] - θ))
        δv = δx + self.δv if δv is None else δv + δx + self.δv
        δb = torch.addcmul(δx, z_before, δv).mul_(-neuron.beta).add_(self.δb)
        if self.δb_end is not None and t + 1 == len(self.I):
            δb.add_(self.δb_end)
        self.δα.addcmul_(δv, v_before - self.R_m * self.I[t])
        self.δρ.addcmul_(δb, b_before - z_before)
        self.δv, self.δb = self.α * δv, self.ρ * δb
        self.δz = δb - self.δb
        if neuron.reset_gradient:
            self.δz.addcmul_(θ, δv, value=-1)
        torch.mul(δv, (1 - self.α) * self.R_m, out=δz)

    def state_gradient(self) -> ASRNNState:
        return ASRNNState(self.δv, self.δb, self.δz)

    def parameter_gradients(self) -> dict[str, Tensor | None]:
        τ, τ_a = self.neuron.tau.detach(), self.neuron.tau_adaptation.detach()
        return {
            "tau": self.δα.sum(0) * self.neuron.kept_by_tau(τ),
            "tau_adaptation": self.δρ.sum(0) * self.neuron.kept_by_tau(τ_a),
        }
