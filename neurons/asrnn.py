"""Adaptive spiking neuron with learnt time constants."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Derivative, InputJacobian, Neuron, Partials, Shape
from throughtime.neurons.surrogate import SURROGATES, SurrogateName, spike, stop_gradient
from throughtime.registry import neuron


class ASRNNState(NamedTuple):
    """Membrane potential, adaptation and spikes, [batch, size]."""

    v: Tensor
    b: Tensor
    z: Tensor


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
