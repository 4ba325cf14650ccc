"""Adaptive spiking neuron with learnt time constants."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateOption, constant, spike
from throughtime.numerics.equations.operations import absolute, exp, σ
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
        α = exp(−1/τ), ρ = exp(−1/τ_a)    or    α = exp(−1/|τ|), ρ = exp(−1/|τ_a|)    or    α = σ(τ), ρ = σ(τ_a)

    With `reset: same_step` the membrane is reset in the step of its spike; with this, `decay: exponential_magnitude`
    and `surrogate: double_gaussian` it is the adaptive neuron of Higuchi et al. 2024 (snn/modules/alif.py), whose
    experiments have other initial τ and τ_a:

        ṽ_t = α v_{t−1} + (1 − α) R_m I_t
        z_t = H(ṽ_t − θ_t),                 v_t = ṽ_t − θ_t z_t

    Each neuron has a trained τ and τ_a with normally distributed initial values. As in the source, they are not
    constrained to be positive; an `exponential` decay is below 1 only for τ > 0. The gradient flows through the reset.
    Cost: about 12 elementwise operations per step; state 3 × size numbers. Source: Yin, Corradi and Bohte 2021, as
    released. The defaults are those of its S-MNIST, except for the initial state: there v and z are one random number
    in (0, b_0) and b is b_0; here all are 0.

    Args:
        shape: neurons, their number or their arrangement.
        decay: the decay as a function of τ: `exponential`, τ in steps; `exponential_magnitude`, the same of |τ|; or
            `logistic`.
        tau_mean, tau_sd: mean and standard deviation of the initial τ.
        tau_adaptation_mean, tau_adaptation_sd: mean and standard deviation of the initial τ_a.
        b0: b_0, threshold at rest.
        beta: β, how far full adaptation raises the threshold.
        resistance: R_m.
        reset: step in which a spike resets the membrane: `next_step` or `same_step`.
        reset_gradient: whether the gradient flows through the spike of the reset; it does through z_{t−1} into b_t.
        surrogate: gradient of the spike.

    Example:
        >>> neuron = tt.neuron_type("asrnn")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'b', 'z'))

    References:
        Higuchi et al. 2024: https://doi.org/10.48550/arXiv.2402.14603
        Yin, Corradi and Bohte 2021: https://doi.org/10.1038/s42256-021-00397-w
    """

    elementwise: ClassVar[bool] = True

    def __init__(
        self,
        shape: Shape,
        *,
        decay: Literal["exponential", "exponential_magnitude", "logistic"] = "exponential",
        tau_mean: float = 20.0,
        tau_sd: NonNegativeFloat = 5.0,
        tau_adaptation_mean: float = 200.0,
        tau_adaptation_sd: NonNegativeFloat = 25.0,
        b0: float = 0.01,
        beta: NonNegativeFloat = 1.8,
        resistance: PositiveFloat = 1.0,
        reset: Literal["next_step", "same_step"] = "next_step",
        reset_gradient: bool = True,
        surrogate: SurrogateOption = "wide_multi_gaussian",
    ) -> None:
        super().__init__(shape)
        self.decay, self.b0, self.beta, self.resistance = decay, b0, beta, resistance
        self.reset = self.reset_step = reset
        self.reset_gradient, self.surrogate = reset_gradient, surrogate
        self.tau = nn.Parameter(tau_mean + tau_sd * torch.randn(self.shape))
        self.tau_adaptation = nn.Parameter(tau_adaptation_mean + tau_adaptation_sd * torch.randn(self.shape))

    def initial_state(self, batch: int, like: Tensor) -> ASRNNState:
        zeros = like.new_zeros(batch, *self.shape)
        return ASRNNState(v=zeros, b=zeros, z=zeros)

    def step(self, I: Tensor, s: ASRNNState) -> ASRNNState:
        α, ρ = self.decay_of(self.tau), self.decay_of(self.tau_adaptation)
        b = s.z + ρ * (s.b - s.z)
        θ = self.b0 + self.beta * b
        ṽ = s.v + (1 - α) * (self.resistance * I - s.v)
        if self.reset == "same_step":
            z = spike(ṽ - θ, self.surrogate)
            return ASRNNState(ṽ - θ * (z if self.reset_gradient else constant(z)), b, z)
        v = ṽ - θ * (s.z if self.reset_gradient else constant(s.z))
        return ASRNNState(v, b, z=spike(v - θ, self.surrogate))

    def decay_of(self, τ: Tensor) -> Tensor:
        """Return the factor by which a value decays per step, for a time constant τ."""
        if self.decay == "logistic":
            return σ(τ)
        return exp(-1 / (absolute(τ) if self.decay == "exponential_magnitude" else τ))
