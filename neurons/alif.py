"""Adaptive leaky integrate-and-fire."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from throughtime.neurons.base import InputJacobian, Neuron, Partials, Shape
from throughtime.neurons.kernels.kernel import Kernel, number_or_tensor, surrogate_factors
from throughtime.neurons.kernels.lif_one_step import LIFOneStep
from throughtime.neurons.kernels.one_step import NeuronOneStep
from throughtime.neurons.surrogate import SURROGATES, SurrogateName, spike, stop_gradient
from throughtime.neurons.time_constant import decay
from throughtime.numerics.loops import compiled, prange, runs_compiled
from throughtime.numerics.spike_product import FEW_IN_A_RUN, add_rows_of_sample, nonzero, room_for_spiking
from throughtime.registry import neuron


class ALIFState(NamedTuple):
    """Membrane potential, adaptation and spikes, [batch, size]."""

    v: Tensor
    a: Tensor
    z: Tensor


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


@neuron("alif")
class ALIF(Neuron):
    """Adaptive LIF neuron: each spike raises its own threshold for a while.

        v_t = α v_{t−1} + (1 − α) I_t − z_{t−1} θ        α = exp(−1/τ)
        a_t = ρ a_{t−1} + (1 − ρ) z_{t−1}                ρ = exp(−1/τ_a)
        z_t = H((v_t − A_t) / θ),                A_t = θ + β a_t

    The gradient does not flow through the reset; it does flow through z_{t−1} into a_t. Cost: 8 elementwise
    operations a step; state 3 × size numbers. Source: Bellec et al. 2020, equations 6-10, in the scaling of their
    tutorials (1 − α on the input, 1 − ρ on the spike; dt = 1, no refractory period).

    Args:
        shape: neurons, their number or their arrangement.
        tau: membrane time constant τ, in steps.
        tau_max: if given, τ differs between neurons: evenly spaced in its logarithm from `tau` to `tau_max`.
        tau_adaptation: adaptation time constant τ_a, in steps.
        threshold: θ at rest, in the unit of the current.
        beta: β, how far one spike raises the threshold.
        surrogate: gradient of the spike.
    """

    elementwise: ClassVar[bool] = True
    kernel: ClassVar[type[Kernel]] = ALIFKernel
    single_step: ClassVar[type[NeuronOneStep]] = LIFOneStep

    def __init__(
        self,
        shape: Shape,
        *,
        tau: PositiveFloat = 20.0,
        tau_max: PositiveFloat | None = None,
        tau_adaptation: PositiveFloat = 200.0,
        threshold: PositiveFloat = 0.1,
        beta: NonNegativeFloat = 1.8,
        surrogate: SurrogateName = "triangle",
    ) -> None:
        super().__init__(shape)
        self.register_buffer("alpha", decay(self.shape, tau, tau_max))
        self.rho = math.exp(-1 / tau_adaptation)
        self.threshold, self.beta, self.surrogate = threshold, beta, surrogate

    def initial_state(self, batch: int, like: Tensor) -> ALIFState:
        zeros = like.new_zeros(batch, *self.shape)
        return ALIFState(v=zeros, a=zeros, z=zeros)

    def forward(self, current: Tensor, state: ALIFState) -> tuple[Tensor, ALIFState]:
        α, ρ, θ, β = self.alpha, self.rho, self.threshold, self.beta
        v = α * state.v + (1 - α) * current - stop_gradient(state.z) * θ
        a = ρ * state.a + (1 - ρ) * state.z
        A = θ + β * a
        z = spike((v - A) / θ, self.surrogate)
        return z, ALIFState(v, a, z)

    def partials(self, current: Tensor, state: ALIFState, next_state: ALIFState) -> Partials:
        α, ρ, θ, β = self.alpha, self.rho, self.threshold, self.beta
        ψ = SURROGATES[self.surrogate].h((next_state.v - β * next_state.a).sub_(θ).mul_(1 / θ)).mul_(1 / θ)
        return Partials(
            from_previous={("v", "v"): α, ("a", "a"): ρ, ("a", "z"): 1 - ρ},
            within_step={("z", "v"): ψ, ("z", "a"): -β * ψ},
            inflows={"current": InputJacobian({"v": 1 - α})},
        )
