"""Balanced resonate and fire."""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateOption, spike
from throughtime.numerics.equations.operations import absolute, sqrt
from throughtime.registry import neuron, refuse_reversed


class BRFState(NamedTuple):
    """Real and imaginary part of the membrane (`u` and `v` in the source), refractoriness and spikes, [batch, size]."""

    v: Tensor
    w: Tensor
    q: Tensor
    z: Tensor


@neuron("brf")
class BRF(Neuron):
    """Resonate-and-fire neuron with a refractory threshold and damping that keeps the discretised oscillator stable.

        b_t = p(ω) − |b_0| − q_{t−1}                               p(ω) = (−1 + √(1 − (δω)²)) / δ
        v_t = v_{t−1} + δ (b_t v_{t−1} − |ω| w_{t−1} + I_t)
        w_t = w_{t−1} + δ (|ω| v_{t−1} + b_t w_{t−1})
        z_t = H(v_t − θ − q_{t−1})
        q_t = γ q_{t−1} + z_t

    Each neuron has a trained ω and b_0; δ|ω| must stay below 1. Without input, spikes and damping |v + iw| is constant
    from step to step. Cost: about 15 elementwise operations per step; state 4 × size numbers. Source: Higuchi et al.
    2024, as released (snn/modules/rf.py, BRFCell), with that file's defaults.

    Args:
        shape: neurons, their number or their arrangement.
        omega_min, omega_max: ω is drawn uniformly from this range, in rad per unit of time.
        damping_min, damping_max: b_0 is drawn uniformly from this range, per unit of time.
        dt: δ, the step in units of time.
        threshold: θ at rest.
        refractory_decay: γ, decay of q per step.
        surrogate: gradient of the spike.

    Raises:
        ValueError: the bounds of a range are reversed; dt · omega_max is 1 or more.

    Example:
        >>> neuron = tt.neuron_type("brf")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'w', 'q', 'z'))

    References:
        Higuchi et al. 2024: https://doi.org/10.48550/arXiv.2402.14603
    """

    elementwise: ClassVar[bool] = True

    def __init__(
        self,
        shape: Shape,
        *,
        omega_min: NonNegativeFloat = 5.0,
        omega_max: PositiveFloat = 10.0,
        damping_min: NonNegativeFloat = 0.0,
        damping_max: PositiveFloat = 3.0,
        dt: PositiveFloat = 0.01,
        threshold: PositiveFloat = 1.0,
        refractory_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        surrogate: SurrogateOption = "double_gaussian",
    ) -> None:
        super().__init__(shape)
        refuse_reversed("omega_min", omega_min, "omega_max", omega_max)
        refuse_reversed("damping_min", damping_min, "damping_max", damping_max)
        if dt * omega_max >= 1:
            raise ValueError(f"dt · omega_max is {dt * omega_max:g}; the square root in p(ω) needs less than 1")
        self.omega = nn.Parameter(omega_min + (omega_max - omega_min) * torch.rand(self.shape))
        self.damping = nn.Parameter(damping_min + (damping_max - damping_min) * torch.rand(self.shape))
        self.dt, self.threshold, self.gamma, self.surrogate = dt, threshold, refractory_decay, surrogate

    def initial_state(self, batch: int, like: Tensor) -> BRFState:
        zeros = like.new_zeros(batch, *self.shape)
        return BRFState(v=zeros, w=zeros, q=zeros, z=zeros)

    def step(self, I: Tensor, s: BRFState) -> BRFState:
        ω, δ = absolute(self.omega), self.dt
        p = (-1 + sqrt(1 - δ * ω * (δ * ω))) / δ
        b = p - absolute(self.damping) - s.q
        v = s.v + δ * (b * s.v - ω * s.w + I)
        w = s.w + δ * (ω * s.v + b * s.w)
        z = spike(v - self.threshold - s.q, self.surrogate)
        return BRFState(v, w, self.gamma * s.q + z, z)
