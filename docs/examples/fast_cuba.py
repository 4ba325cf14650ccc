"""The neuron of cuba.py with a kernel: the same numbers, faster and with less kept for the way back."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from throughtime import neuron
from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.kernels.kernel import Kernel, kernel_for, surrogate_factors
from throughtime.neurons.surrogate import spike


class CubaState(NamedTuple):
    """Synaptic current, membrane potential, spikes."""

    i: Tensor
    v: Tensor
    z: Tensor


@neuron("fast_cuba")
class FastCuba(Neuron):
    """Current-based LIF neuron: i_t = γ i_{t−1} + I_t,  v_t = α v_{t−1} + (1 − α) i_t − θ z_{t−1}."""

    elementwise: ClassVar[bool] = True

    def __init__(self, shape: Shape, *, gamma: float = 0.5, alpha: float = 0.9, threshold: float = 0.1) -> None:
        super().__init__(shape)
        self.gamma, self.alpha, self.threshold = gamma, alpha, threshold

    def initial_state(self, batch: int, like: Tensor) -> CubaState:
        return CubaState(*(like.new_zeros(batch, *self.shape) for _ in range(3)))

    def forward(self, current: Tensor, state: CubaState) -> tuple[Tensor, CubaState]:
        i = self.gamma * state.i + current
        v = self.alpha * state.v + (1 - self.alpha) * i - self.threshold * state.z
        z = spike(v / self.threshold - 1, "multi_gaussian")
        return z, CubaState(i, v, z)


@kernel_for(FastCuba)
class CubaKernel(Kernel):
    """x_t = v_t/θ − 1,  δv_t = h(x_t)/θ (δz_t − θ δv_{t+1}) + α δv_{t+1},  δI_t = δi_t = γ δi_{t+1} + (1 − α) δv_t."""

    def begin(self, state):
        self.i, self.v = state.i.clone(), state.v

    def step(self, t, I, z_before, z):
        γ, α, θ = self.neuron.gamma, self.neuron.alpha, self.neuron.threshold
        self.i.mul_(γ).add_(I)
        self.v = torch.lerp(self.i, self.v, α, out=I).sub_(z_before, alpha=θ)  # kept in the place of I_t
        torch.gt(self.v, θ, out=z)

    def end(self, z):
        return CubaState(self.i.clone(), self.v.clone(), z.clone())

    def membranes(self):
        return self.I

    def begin_back(self, δ, z, to_state):
        θ = self.neuron.threshold
        self.ψ = surrogate_factors("multi_gaussian", self.I, θ, scale=1 / θ)
        self.δv = torch.zeros_like(self.v)
        self.γδi = self.δv if δ.i is None else δ.i

    def back(self, t, δz, δv):
        γ, α, θ = self.neuron.gamma, self.neuron.alpha, self.neuron.threshold
        self.δv = δz.sub_(self.δv, alpha=θ).mul_(self.ψ[t]).add(self.δv, alpha=α)
        if δv is not None:
            self.δv += δv
        δI = torch.add(self.γδi, self.δv, alpha=1 - α, out=δz)
        self.γδi = γ * δI

    def state_gradient(self):
        return CubaState(self.γδi, self.neuron.alpha * self.δv, -self.neuron.threshold * self.δv)
