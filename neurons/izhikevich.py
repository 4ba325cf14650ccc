"""The neuron of Izhikevich."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from pydantic import PositiveFloat
from torch import Tensor

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateOption, spike
from throughtime.registry import neuron


class IzhikevichState(NamedTuple):
    """Membrane potential in mV, recovery variable and spikes, [batch, size]."""

    v: Tensor
    u: Tensor
    z: Tensor


@neuron("izhikevich")
class Izhikevich(Neuron):
    """Quadratic neuron with a recovery variable; a step is 1 ms.

        v′ = v_{t−1} + z_{t−1} (c − v_{t−1})                  reset after a spike
        u′ = u_{t−1} + z_{t−1} d
        v″ = v′ + ½ (0.04 v′² + 5 v′ + 140 − u′ + g I_t)      two half-steps
        v_t = v″ + ½ (0.04 v″² + 5 v″ + 140 − u′ + g I_t)
        u_t = u′ + a (b v_t − u′)
        z_t = H((v_t − 30) / w)

    The gradient flows through the reset. Cost: about 30 elementwise operations per step; state 3 × size numbers.
    Source: Izhikevich 2003, equations 1-3, with the discretisation of its released code (net.m); the default is its
    regular-spiking neuron. g and w, which a network that learns needs, are our choice: with g = 10 a current of 1/2
    suffices for spikes.

    Args:
        shape: neurons, their number or their arrangement.
        a: rate of the recovery variable, per ms.
        b: sensitivity of the recovery variable to v.
        c: v after a spike, in mV; also v before the first step, with u = b v.
        d: increase of u by a spike.
        gain: g, input per unit of current, in mV per ms.
        width: w, distance to the peak of 30 mV at which the argument of the surrogate is 1, in mV.
        surrogate: gradient of the spike.

    Example:
        >>> neuron = tt.neuron_type("izhikevich")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'u', 'z'))

    References:
        Izhikevich 2003: https://doi.org/10.1109/TNN.2003.820440
    """

    elementwise: ClassVar[bool] = True
    reset_step, reset_gradient = "next_step", True

    def __init__(
        self,
        shape: Shape,
        *,
        a: float = 0.02,
        b: float = 0.2,
        c: float = -65.0,
        d: float = 8.0,
        gain: PositiveFloat = 10.0,
        width: PositiveFloat = 30.0,
        surrogate: SurrogateOption = "arctan",
    ) -> None:
        super().__init__(shape)
        self.a, self.b, self.c, self.d = a, b, c, d
        self.gain, self.width, self.surrogate = gain, width, surrogate

    def initial_state(self, batch: int, like: Tensor) -> IzhikevichState:
        zeros = like.new_zeros(batch, *self.shape)
        v = torch.full_like(zeros, self.c)
        return IzhikevichState(v=v, u=self.b * v, z=zeros)

    def step(self, I: Tensor, s: IzhikevichState) -> IzhikevichState:
        v = s.v + s.z * (self.c - s.v)
        u = s.u + s.z * self.d
        for _ in range(2):
            v = v + 0.5 * (0.04 * v * v + 5 * v + 140 - u + self.gain * I)
        u = u + self.a * (self.b * v - u)
        return IzhikevichState(v, u, z=spike((v - 30) / self.width, self.surrogate))
