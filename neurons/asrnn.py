"""Adaptive spiking neuron with learnt time constants."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Derivative, InputJacobian, Neuron, Partials, Shape
from throughtime.neurons.kernels.asrnn_one_step import ASRNNOneStep
from throughtime.neurons.kernels.kernel import Kernel, slots
from throughtime.neurons.kernels.one_step import NeuronOneStep
from throughtime.neurons.surrogate import SURROGATES, SurrogateName, spike, stop_gradient
from throughtime.registry import neuron


class ASRNNState(NamedTuple):
    """Membrane potential, adaptation and spikes, [batch, size]."""

    v: Tensor
    b: Tensor
    z: Tensor


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


@neuron("asrnn")
class ASRNN(Neuron):
    """Adaptive spiking neuron that learns its time constants, reset by subtraction of its threshold.

        b_t = ρ b_{t−1} + (1 − ρ) z_{t−1}
        θ_t = b_0 + β b_t
        v_t = α v_{t−1} + (1 − α) R_m I_t − θ_t z_{t−1}
        z_t = H(v_t − θ_t)
        α = exp(−1/τ), ρ = exp(−1/τ_a)    or    α = σ(τ), ρ = σ(τ_a)

    τ and τ_a are learnt, one of each a neuron, from normal draws; nothing keeps them positive, here as in the source,
    and of `exponential` ones only positive ones decay. The gradient flows through the reset. Cost: about 12
    elementwise operations a step; state 3 × size numbers. Source: Yin, Corradi and Bohte 2021, as released; the
    defaults are those of its S-MNIST (there v and z start at one random number in (0, b_0), b at b_0; here all at 0).

    Args:
        shape: neurons, their number or their arrangement.
        decay: how τ becomes a decay: `exponential`, τ in steps, or `logistic`.
        tau_mean, tau_sd: mean and standard deviation of τ's draw.
        tau_adaptation_mean, tau_adaptation_sd: of τ_a's draw.
        b0: b_0, threshold at rest.
        beta: β, how far full adaptation raises the threshold.
        resistance: R_m.
        reset_gradient: whether the gradient flows through z_{t−1} into v_t; it does through z_{t−1} into b_t.
        surrogate: gradient of the spike.
    """

    elementwise: ClassVar[bool] = True
    kernel: ClassVar[type[Kernel]] = ASRNNKernel
    single_step: ClassVar[type[NeuronOneStep]] = ASRNNOneStep

    def __init__(
        self,
        shape: Shape,
        *,
        decay: Literal["exponential", "logistic"] = "exponential",
        tau_mean: float = 20.0,
        tau_sd: NonNegativeFloat = 5.0,
        tau_adaptation_mean: float = 200.0,
        tau_adaptation_sd: NonNegativeFloat = 25.0,
        b0: float = 0.01,
        beta: NonNegativeFloat = 1.8,
        resistance: PositiveFloat = 1.0,
        reset_gradient: bool = True,
        surrogate: SurrogateName = "wide_multi_gaussian",
    ) -> None:
        super().__init__(shape)
        self.decay, self.b0, self.beta, self.resistance = decay, b0, beta, resistance
        self.reset_gradient, self.surrogate = reset_gradient, surrogate
        self.tau = nn.Parameter(tau_mean + tau_sd * torch.randn(self.shape))
        self.tau_adaptation = nn.Parameter(tau_adaptation_mean + tau_adaptation_sd * torch.randn(self.shape))

    def initial_state(self, batch: int, like: Tensor) -> ASRNNState:
        zeros = like.new_zeros(batch, *self.shape)
        return ASRNNState(v=zeros, b=zeros, z=zeros)

    def forward(self, current: Tensor, state: ASRNNState) -> tuple[Tensor, ASRNNState]:
        α, ρ = self.kept(self.tau), self.kept(self.tau_adaptation)
        b = ρ * state.b + (1 - ρ) * state.z
        θ = self.b0 + self.beta * b
        z_reset = state.z if self.reset_gradient else stop_gradient(state.z)
        v = α * state.v + (1 - α) * self.resistance * current - θ * z_reset
        z = spike(v - θ, self.surrogate)
        return z, ASRNNState(v, b, z)

    def kept(self, τ: Tensor) -> Tensor:
        """What a time constant keeps from step to step."""
        return torch.exp(-1 / τ) if self.decay == "exponential" else torch.sigmoid(τ)

    def kept_by_tau(self, τ: Tensor) -> Tensor:
        """Its derivative by τ."""
        kept = self.kept(τ)
        return kept / τ.square() if self.decay == "exponential" else kept * (1 - kept)

    def partials(self, current: Tensor, state: ASRNNState, next_state: ASRNNState) -> Partials:
        α, ρ, β, R_m = self.kept(self.tau), self.kept(self.tau_adaptation), self.beta, self.resistance
        θ = self.b0 + β * next_state.b
        ψ = SURROGATES[self.surrogate].h(next_state.v - θ)
        before: dict[tuple[str, str], Derivative] = {("b", "b"): ρ, ("b", "z"): 1 - ρ, ("v", "v"): α}
        if self.reset_gradient:
            before["v", "z"] = -θ
        return Partials(
            before,
            within_step={("v", "b"): -β * state.z, ("z", "v"): ψ, ("z", "b"): -β * ψ},
            inflows={
                "current": InputJacobian({"v": (1 - α) * R_m}),
                "tau": InputJacobian({"v": (state.v - R_m * current) * self.kept_by_tau(self.tau)}),
                "tau_adaptation": InputJacobian({"b": (state.b - state.z) * self.kept_by_tau(self.tau_adaptation)}),
            },
        )
