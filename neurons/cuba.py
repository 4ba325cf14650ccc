"""Current-based leaky integrate-and-fire."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

from pydantic import PositiveFloat
from torch import Tensor

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateOption, constant, spike
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
        u_t = α v_{t−1} + g i_{t−delay}                     α = exp(−1/τ),  g = 1 − α or, with input_gain: unit, 1
        v_t = u_t − r_t
        r_t = α v_{t−1} z_{t−1},  θ z_{t−1}  or  u_t z_{t−1}     reset: zero, subtract or zero_with_input
        z_t = H((v_t − θ) / θ)

    The gradient does not flow through the reset. Cost: about 7 elementwise operations per step; state 3 × size numbers.
    Source: Zenke and Vogels 2021, with their τ = 10 ms, τ_s = 5 ms and θ = 1 at 1 ms a step. By default the membrane
    integrates the current of its step with the factor 1 − α, as do CubaLIF of NIR and, without the factor, Synaptic of
    snnTorch. `{delay: 1, input_gain: unit, reset: zero_with_input}` is the neuron of SpyTorch (Neftci, Mostafa and
    Zenke 2019, tutorials 2 and 3), mem ← (β mem + syn)(1 − rst); with `input_gain: leak` it is that of Zenke and
    Vogels.

    Args:
        shape: neurons, their number or their arrangement.
        tau: membrane time constant τ, in steps.
        tau_max: if not null, τ is spaced logarithmically over the neurons from `tau` to `tau_max`.
        tau_synapse: synaptic time constant τ_s, in steps.
        threshold: θ, in the unit of the current.
        input_gain: factor g of the current: `leak`, 1 − α, or `unit`, 1.
        delay: number of steps after which the membrane integrates a current.
        reset: of the membrane after a spike: to `zero`, by θ (`subtract`), or to zero together with the current that it
            integrates in this step (`zero_with_input`).
        surrogate: gradient of the spike.

    Example:
        >>> neuron = tt.neuron_type("cuba")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('i', 'v', 'z'))

    References:
        Zenke and Vogels 2021: https://doi.org/10.1162/neco_a_01367
        Neftci, Mostafa and Zenke 2019: https://doi.org/10.1109/MSP.2019.2931595
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
        input_gain: Literal["leak", "unit"] = "leak",
        delay: Literal[0, 1] = 0,
        reset: Literal["zero", "subtract", "zero_with_input"] = "zero",
        surrogate: SurrogateOption = "fast_sigmoid",
    ) -> None:
        super().__init__(shape)
        self.register_buffer("alpha", decay(self.shape, tau, tau_max))
        self.gamma = math.exp(-1 / tau_synapse)
        self.input_gain, self.delay = input_gain, delay
        self.threshold, self.reset, self.surrogate = threshold, reset, surrogate

    def initial_state(self, batch: int, like: Tensor) -> CubaState:
        zeros = like.new_zeros(batch, *self.shape)
        return CubaState(i=zeros, v=zeros, z=zeros)

    def step(self, I: Tensor, s: CubaState) -> CubaState:
        α, γ, θ, z = self.alpha, self.gamma, self.threshold, constant(s.z)
        i = γ * s.i + I
        integrated = s.i if self.delay else i
        u = α * s.v + ((1 - α) * integrated if self.input_gain == "leak" else integrated)
        r = θ * z if self.reset == "subtract" else (u if self.reset == "zero_with_input" else α * s.v) * z
        v = u - r
        return CubaState(i, v, z=spike((v - θ) / θ, self.surrogate))
