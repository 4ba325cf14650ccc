"""Adaptive leaky integrate-and-fire with subthreshold adaptation, in a semi-implicit discretisation."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateOption, constant, spike
from throughtime.numerics.equations.operations import exp, σ
from throughtime.registry import neuron, refuse_reversed


class AdLIFState(NamedTuple):
    """Membrane potential after the reset, adaptation current and spikes, [batch, size]."""

    v: Tensor
    w: Tensor
    z: Tensor


@neuron("adlif")
class AdLIF(Neuron):
    """SE-adLIF neuron: an adaptation current driven by membrane and spikes, which can make the membrane oscillate.

        ṽ_t = α v_{t−1} + (1 − α) (I_t − w_{t−1})                     α = exp(−1/τ)
        z_t = H(ṽ_t − θ)
        v_t = (1 − z_t) ṽ_t                                           no gradient through this reset
        w_t = ρ w_{t−1} + (1 − ρ) q (a v_t + b z_t)                   ρ = exp(−1/τ_w)
        τ = τ_min + (τ_max − τ_min) σ(τ̂),  τ_w likewise,  a = σ(â),  b = 2 σ(b̂)

    "Semi-implicit" means that w_t reads v_t and z_t rather than the values of the step before. Each neuron has trained
    τ̂, τ̂_w, â and b̂, drawn so that τ, τ_w, a and b are uniformly distributed over their ranges. The source trains these
    values themselves and clamps them to the ranges after each update; here the logistic function σ keeps them there.
    Cost: about 20 elementwise operations per step; state 3 × size numbers. Source: Baronig et al. 2025, as released
    (models/alif.py, SEAdLIF); the defaults are those of config/experiment/SHD_SE_adLIF.yaml.

    Args:
        shape: neurons, their number or their arrangement.
        tau_min, tau_max: range of the membrane time constant τ, in steps.
        tau_adaptation_min, tau_adaptation_max: range of the time constant τ_w of the adaptation, in steps.
        strength: q, factor of the adaptation.
        threshold: θ, in the unit of the current.
        surrogate: gradient of the spike.

    Raises:
        ValueError: tau_min exceeds tau_max, or another range is reversed.

    Example:
        >>> neuron = tt.neuron_type("adlif")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'w', 'z'))

    References:
        Baronig et al. 2025: https://doi.org/10.1038/s41467-025-60878-z
    """

    elementwise: ClassVar[bool] = True
    reset_step, reset_gradient = "same_step", False

    def __init__(
        self,
        shape: Shape,
        *,
        tau_min: PositiveFloat = 5.0,
        tau_max: PositiveFloat = 25.0,
        tau_adaptation_min: PositiveFloat = 60.0,
        tau_adaptation_max: PositiveFloat = 300.0,
        strength: PositiveFloat = 120.0,
        threshold: PositiveFloat = 1.0,
        surrogate: SurrogateOption = "exponential",
    ) -> None:
        super().__init__(shape)
        refuse_reversed("tau_min", tau_min, "tau_max", tau_max)
        refuse_reversed("tau_adaptation_min", tau_adaptation_min, "tau_adaptation_max", tau_adaptation_max)
        self.tau_min, self.tau_range = tau_min, tau_max - tau_min
        self.tau_adaptation_min, self.tau_adaptation_range = tau_adaptation_min, tau_adaptation_max - tau_adaptation_min
        self.strength, self.threshold, self.surrogate = strength, threshold, surrogate
        self.tau, self.tau_adaptation, self.a, self.b = (
            nn.Parameter(torch.logit(torch.rand(self.shape), eps=1e-3)) for _ in range(4)
        )

    def initial_state(self, batch: int, like: Tensor) -> AdLIFState:
        zeros = like.new_zeros(batch, *self.shape)
        return AdLIFState(v=zeros, w=zeros, z=zeros)

    def step(self, I: Tensor, s: AdLIFState) -> AdLIFState:
        α = exp(-1 / (self.tau_min + self.tau_range * σ(self.tau)))
        ρ = exp(-1 / (self.tau_adaptation_min + self.tau_adaptation_range * σ(self.tau_adaptation)))
        a, b, q = σ(self.a), 2 * σ(self.b), self.strength
        ṽ = α * s.v + (1 - α) * (I - s.w)
        z = spike(ṽ - self.threshold, self.surrogate)
        v = (1 - constant(z)) * ṽ
        w = ρ * s.w + (1 - ρ) * q * (a * v + b * z)
        return AdLIFState(v, w, z)
