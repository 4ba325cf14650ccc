"""Parametric leaky integrate-and-fire."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateOption, constant, spike
from throughtime.numerics.equations.operations import σ
from throughtime.registry import neuron


class PLIFState(NamedTuple):
    """Membrane potential after the reset, and spikes, [batch, size]."""

    v: Tensor
    z: Tensor


@neuron("plif")
class PLIF(Neuron):
    """LIF neuron that learns its membrane time constant, one for the layer, reset to 0.

        ṽ_t = v_{t−1} + σ(w) (I_t − v_{t−1})          1/τ = σ(w)
        z_t = H(ṽ_t − θ)
        v_t = (1 − z_t) ṽ_t

    Cost: about 5 elementwise operations per step; state 2 × size numbers. Source: Fang et al. 2021, as released in
    spikingjelly (ParametricLIFNode, with its initial τ of 2 and its θ of 1); the gradient does not flow through the
    reset in the runs of the paper (detach_reset_True in the names of their logs).

    Args:
        shape: neurons, their number or their arrangement.
        tau: initial τ, in steps; w starts at −log(τ − 1).
        threshold: θ, in the unit of the current.
        reset_gradient: whether the gradient flows through z_t into v_t.
        surrogate: gradient of the spike.

    Example:
        >>> neuron = tt.neuron_type("plif")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'z'))

    References:
        Fang et al. 2021: https://doi.org/10.48550/arXiv.2007.05785
    """

    elementwise: ClassVar[bool] = True
    reset_step = "same_step"

    def __init__(
        self,
        shape: Shape,
        *,
        tau: Annotated[float, Field(gt=1)] = 2.0,
        threshold: PositiveFloat = 1.0,
        reset_gradient: bool = False,
        surrogate: SurrogateOption = "arctan",
    ) -> None:
        super().__init__(shape)
        self.w = nn.Parameter(torch.tensor(-math.log(tau - 1)))
        self.threshold, self.reset_gradient, self.surrogate = threshold, reset_gradient, surrogate

    def initial_state(self, batch: int, like: Tensor) -> PLIFState:
        zeros = like.new_zeros(batch, *self.shape)
        return PLIFState(v=zeros, z=zeros)

    def step(self, I: Tensor, s: PLIFState) -> PLIFState:
        ṽ = s.v + σ(self.w) * (I - s.v)
        z = spike(ṽ - self.threshold, self.surrogate)
        return PLIFState((1 - (z if self.reset_gradient else constant(z))) * ṽ, z)
