"""Resonate and fire."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateOption, spike
from throughtime.numerics.equations.operations import absolute
from throughtime.registry import neuron, refuse_reversed


class RFState(NamedTuple):
    """Real and imaginary part of the membrane (`u` and `v` in the source), and spikes, [batch, size]."""

    v: Tensor
    w: Tensor
    z: Tensor


@neuron("rf")
class RF(Neuron):
    """Resonate-and-fire neuron: a damped oscillator that spikes where its real part exceeds a threshold; no reset.

        v_t = v_{t−1} + δ (b v_{t−1} − |ω| w_{t−1} + I_t)          b = −|b_0|
        w_t = w_{t−1} + δ (|ω| v_{t−1} + b w_{t−1})
        z_t = H(v_t − θ)

    Each neuron has a trained angular frequency ω and damping b_0. The explicit Euler step grows without bound where
    b > (−1 + √(1 − (δω)²)) / δ; `brf` excludes this. Cost: about 9 elementwise operations per step; state 3 × size
    numbers. Source: Izhikevich 2001; Higuchi et al. 2024, as released (snn/modules/rf.py, RFCell), with that file's
    defaults.

    Args:
        shape: neurons, their number or their arrangement.
        omega_min, omega_max: ω is drawn uniformly from this range, in rad per unit of time.
        damping_min, damping_max: b_0 is drawn uniformly from this range, per unit of time.
        dt: δ, the step in units of time.
        threshold: θ.
        surrogate: gradient of the spike.

    Raises:
        ValueError: the bounds of a range are reversed.

    Example:
        >>> neuron = tt.neuron_type("rf")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'w', 'z'))

    References:
        Izhikevich 2001: https://doi.org/10.1016/S0893-6080(01)00078-8
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
        surrogate: SurrogateOption = "double_gaussian",
    ) -> None:
        super().__init__(shape)
        refuse_reversed("omega_min", omega_min, "omega_max", omega_max)
        refuse_reversed("damping_min", damping_min, "damping_max", damping_max)
        self.omega = nn.Parameter(omega_min + (omega_max - omega_min) * torch.rand(self.shape))
        self.damping = nn.Parameter(damping_min + (damping_max - damping_min) * torch.rand(self.shape))
        self.dt, self.threshold, self.surrogate = dt, threshold, surrogate

    def initial_state(self, batch: int, like: Tensor) -> RFState:
        zeros = like.new_zeros(batch, *self.shape)
        return RFState(v=zeros, w=zeros, z=zeros)

    def step(self, I: Tensor, s: RFState) -> RFState:
        ω, b, δ = absolute(self.omega), -absolute(self.damping), self.dt
        v = s.v + δ * (b * s.v - ω * s.w + I)
        w = s.w + δ * (ω * s.v + b * s.w)
        return RFState(v, w, z=spike(v - self.threshold, self.surrogate))
