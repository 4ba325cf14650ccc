"""Leaky integrate-and-fire."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from pydantic import PositiveFloat
from torch import Tensor

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateName, constant, spike
from throughtime.neurons.time_constant import decay
from throughtime.registry import neuron


class LIFState(NamedTuple):
    """Membrane potential and spikes, [batch, size]."""

    v: Tensor
    z: Tensor


@neuron("lif", order=0)
class LIF(Neuron):
    """Leaky integrate-and-fire neuron, reset by subtraction.

        v_t = α v_{t−1} + (1 − α) I_t − z_{t−1} θ        α = exp(−1/τ)
        z_t = H((v_t − θ) / θ)

    The gradient does not flow through the reset. Cost: 4 elementwise operations per step; state 2 × size numbers.
    Source: Bellec et al. 2020, equations 6-8, in the scaling of their tutorials, where the input is weighted by 1 − α
    (dt = 1, no refractory period).

    Args:
        shape: neurons, their number or their arrangement.
        tau: membrane time constant τ, in steps.
        tau_max: if not null, τ is spaced logarithmically over the neurons from `tau` to `tau_max`.
        threshold: θ, in the unit of the current.
        surrogate: gradient of the spike.
    """

    elementwise: ClassVar[bool] = True
    alpha: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        tau: PositiveFloat = 20.0,
        tau_max: PositiveFloat | None = None,
        threshold: PositiveFloat = 0.1,
        surrogate: SurrogateName = "triangle",
    ) -> None:
        super().__init__(shape)
        self.register_buffer("alpha", decay(self.shape, tau, tau_max))
        self.threshold, self.surrogate = threshold, surrogate

    def initial_state(self, batch: int, like: Tensor) -> LIFState:
        zeros = like.new_zeros(batch, *self.shape)
        return LIFState(v=zeros, z=zeros)

    def step(self, I: Tensor, s: LIFState) -> LIFState:
        α, θ = self.alpha, self.threshold
        v = s.v + (1 - α) * (I - s.v) - constant(s.z) * θ
        return LIFState(v, z=spike((v - θ) / θ, self.surrogate))
