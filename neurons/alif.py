"""Adaptive leaky integrate-and-fire."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.refractory import refractory
from throughtime.neurons.surrogate import SurrogateOption, constant, spike
from throughtime.neurons.time_constant import decay
from throughtime.registry import neuron


class ALIFState(NamedTuple):
    """Membrane potential, adaptation and spikes, [batch, size]."""

    v: Tensor
    a: Tensor
    z: Tensor


class RefractoryALIFState(NamedTuple):
    """ALIFState, and the steps that remain of the refractory period."""

    v: Tensor
    a: Tensor
    z: Tensor
    r: Tensor


@neuron("alif", order=1)
class ALIF(Neuron):
    """Adaptive LIF neuron: each spike raises its own threshold for a while.

        v_t = α v_{t−1} + (1 − α) I_t − z_{t−1} θ        α = exp(−1/τ)
        a_t = ρ a_{t−1} + (1 − ρ) z_{t−1}                ρ = exp(−1/τ_a)
        z_t = H((v_t − A_t) / θ),                A_t = θ + β a_t

    With `input_gain: unit` the input I_t has no factor 1 − α. The gradient does not flow through the reset; it does
    flow through z_{t−1} into a_t. Cost: 8 elementwise operations per step; state 3 × size numbers, 4 with a refractory
    period. Source: Bellec et al. 2020, equations 6-10, in the form of LightALIF of their tutorials (1 − α on the input,
    1 − ρ on the spike, no refractory period) with its τ and τ_a; θ = 0.1 and β = 1.8 are our choice, and the argument
    of H is divided by θ, as in their EligALIF. NEST adds z_{t−1} to a without the factor 1 − ρ, which is this equation
    with β / (1 − ρ).

    Args:
        shape: neurons, their number or their arrangement.
        tau: membrane time constant τ, in steps.
        tau_max: if not null, τ is spaced logarithmically over the neurons from `tau` to `tau_max`.
        tau_adaptation: adaptation time constant τ_a, in steps.
        threshold: θ at rest, in the unit of the current.
        beta: β, how far one spike raises the threshold.
        adaptive: fraction of the neurons that adapt, rounded to whole neurons, the last ones; β is 0 for the others.
        input_gain: factor of the input: `leak`, 1 − α, or `unit`, 1.
        refractory: refractory period n in steps: no spikes in the n − 1 steps after a spike (`refractory.py`).
        surrogate: gradient of the spike.

    Example:
        >>> neuron = tt.neuron_type("alif")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'a', 'z'))

    References:
        Bellec et al. 2020: https://doi.org/10.1038/s41467-020-17236-y
    """

    elementwise: ClassVar[bool] = True
    reset_step, reset_gradient = "next_step", False
    alpha: Tensor
    beta: float | Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        tau: PositiveFloat = 20.0,
        tau_max: PositiveFloat | None = None,
        tau_adaptation: PositiveFloat = 200.0,
        threshold: PositiveFloat = 0.1,
        beta: NonNegativeFloat = 1.8,
        adaptive: Annotated[float, Field(gt=0, le=1)] = 1.0,
        input_gain: Literal["leak", "unit"] = "leak",
        refractory: NonNegativeInt = 0,
        surrogate: SurrogateOption = "triangle",
    ) -> None:
        super().__init__(shape)
        self.register_buffer("alpha", decay(self.shape, tau, tau_max))
        self.rho = math.exp(-1 / tau_adaptation)
        self.threshold, self.surrogate = threshold, surrogate
        self.input_gain, self.refractory = input_gain, refractory
        if adaptive == 1:
            self.beta = beta
        else:
            adapts = torch.arange(self.size) >= self.size - round(adaptive * self.size)
            self.register_buffer("beta", (beta * adapts).view(self.shape))

    def initial_state(self, batch: int, like: Tensor) -> ALIFState | RefractoryALIFState:
        zeros = like.new_zeros(batch, *self.shape)
        state = ALIFState(v=zeros, a=zeros, z=zeros)
        return RefractoryALIFState(*state, r=zeros) if self.refractory else state

    def step(self, I: Tensor, s: Any) -> ALIFState | RefractoryALIFState:
        α, ρ, θ, β = self.alpha, self.rho, self.threshold, self.beta
        v = s.v + (1 - α) * (I - s.v) if self.input_gain == "leak" else α * s.v + I
        v = v - constant(s.z) * θ
        a = s.z + ρ * (s.a - s.z)
        z = spike((v - β * a - θ) / θ, self.surrogate)
        return (
            RefractoryALIFState(v, a, *refractory(z, s.r, self.refractory)) if self.refractory else ALIFState(v, a, z)
        )
