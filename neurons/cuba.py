"""Current-based leaky integrate-and-fire."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

from pydantic import PositiveFloat
from torch import Tensor

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateName, constant, spike
from throughtime.neurons.time_constant import decay
from throughtime.registry import neuron


class CubaState(NamedTuple):
    """Synaptic current, membrane potential and spikes, [batch, size]."""

    i: Tensor
    v: Tensor
    z: Tensor


@neuron("cuba")
class Cuba(Neuron):
    """Current-based LIF neuron: the synaptic current decays exponentially, and the membrane integrates it.

        i_t = γ i_{t−1} + I_t                               γ = exp(−1/τ_s)
        v_t = α v_{t−1} + (1 − α) i_t − r_t                 α = exp(−1/τ)
        r_t = α v_{t−1} z_{t−1}    or    r_t = θ z_{t−1}    reset: zero or subtract
        z_t = H((v_t − θ) / θ)

    The gradient does not flow through the reset. Cost: about 7 elementwise operations per step; state 3 × size numbers.
    Source: Zenke and Vogels 2021, with their τ = 10 ms, τ_s = 5 ms and θ = 1 at 1 ms a step. There the membrane
    integrates i_{t−1} and the reset also removes the current of its step; here it integrates i_t, as do CubaLIF of NIR
    and Synaptic of snnTorch.

    Args:
        shape: neurons, their number or their arrangement.
        tau: membrane time constant τ, in steps.
        tau_max: if not null, τ is spaced logarithmically over the neurons from `tau` to `tau_max`.
        tau_synapse: synaptic time constant τ_s, in steps.
        threshold: θ, in the unit of the current.
        reset: of the membrane after a spike, to `zero`, or `subtract`, by θ.
        surrogate: gradient of the spike.

    Example:
        >>> neuron = tt.neuron_type("cuba")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('i', 'v', 'z'))

    References:
        Zenke and Vogels 2021: https://doi.org/10.1162/neco_a_01367
    """

    elementwise: ClassVar[bool] = True
    reset_step, reset_gradient = "next_step", False
    alpha: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        tau: PositiveFloat = 10.0,
        tau_max: PositiveFloat | None = None,
        tau_synapse: PositiveFloat = 5.0,
        threshold: PositiveFloat = 1.0,
        reset: Literal["zero", "subtract"] = "zero",
        surrogate: SurrogateName = "fast_sigmoid",
    ) -> None:
        super().__init__(shape)
        self.register_buffer("alpha", decay(self.shape, tau, tau_max))
        self.gamma = math.exp(-1 / tau_synapse)
        self.threshold, self.reset, self.surrogate = threshold, reset, surrogate

    def initial_state(self, batch: int, like: Tensor) -> CubaState:
        zeros = like.new_zeros(batch, *self.shape)
        return CubaState(i=zeros, v=zeros, z=zeros)

    def step(self, I: Tensor, s: CubaState) -> CubaState:
        α, γ, θ, z = self.alpha, self.gamma, self.threshold, constant(s.z)
        i = γ * s.i + I
        r = α * s.v * z if self.reset == "zero" else θ * z
        v = α * s.v + (1 - α) * i - r
        return CubaState(i, v, z=spike((v - θ) / θ, self.surrogate))
