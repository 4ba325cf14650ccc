"""Gated leaky integrate-and-fire."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.neurons.surrogate import SurrogateOption, spike
from throughtime.numerics.equations.operations import σ
from throughtime.registry import neuron

Fraction = Annotated[float, Field(gt=0, lt=1)]


class GLIFState(NamedTuple):
    """Membrane potential and spikes, [batch, size]."""

    v: Tensor
    z: Tensor


@neuron("glif")
class GLIF(Neuron):
    """Gated LIF neuron: trained gates α, β, γ mix two forms each of leak, input and reset.

        v_t = (1 − α (1 − k)) (1 − γ z_{t−1}) v_{t−1} − (1 − α) l      exponential or linear leak, reset to 0
              + (1 − β (1 − g)) I_t                                    weighted or plain input
              − (1 − γ) r z_{t−1}                                      reset by subtraction
        z_t = H(v_t − θ)

    The gates, the decay k, the linear leak l, the conductance g, the reset r and the threshold θ lie between 0 and 1:
    each is the logistic function of a trained value. The gradient flows through the reset. Cost: about 15 elementwise
    operations per step; state 2 × size numbers. Source: Yao et al. 2022, with the initial values of GatedLIFNode
    of spikingjelly: the gates' values from U(−0.1, 0.1), k = 1/4, g = θ = r = 1/2, l = θ/(2T), here with
    T = 4. There g differs between the T steps of a sequence; here it is the same at all steps.

    Args:
        shape: neurons, their number or their arrangement.
        parameters: whether each `neuron` has its own trained values, or the `layer` has one of each.
        decay: initial k.
        leak: initial l.
        conductance: initial g.
        reset: initial r.
        threshold: initial θ.
        surrogate: gradient of the spike.

    Example:
        >>> neuron = tt.neuron_type("glif")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'z'))

    References:
        Yao et al. 2022: https://doi.org/10.48550/arXiv.2210.13768
    """

    elementwise: ClassVar[bool] = True
    reset_step, reset_gradient = "next_step", True

    def __init__(
        self,
        shape: Shape,
        *,
        parameters: Literal["neuron", "layer"] = "neuron",
        decay: Fraction = 0.25,
        leak: Fraction = 0.0625,
        conductance: Fraction = 0.5,
        reset: Fraction = 0.5,
        threshold: Fraction = 0.5,
        surrogate: SurrogateOption = "arctan",
    ) -> None:
        super().__init__(shape)
        trained = self.shape if parameters == "neuron" else ()
        self.alpha, self.beta, self.gamma = (nn.Parameter(0.2 * (torch.rand(trained) - 0.5)) for _ in range(3))
        self.decay, self.leak, self.conductance, self.reset, self.threshold = (
            nn.Parameter(torch.logit(torch.full(trained, value)))
            for value in (decay, leak, conductance, reset, threshold)
        )
        self.surrogate = surrogate

    def initial_state(self, batch: int, like: Tensor) -> GLIFState:
        zeros = like.new_zeros(batch, *self.shape)
        return GLIFState(v=zeros, z=zeros)

    def step(self, I: Tensor, s: GLIFState) -> GLIFState:
        α, β, γ, k, l = σ(self.alpha), σ(self.beta), σ(self.gamma), σ(self.decay), σ(self.leak)
        g, r, θ = σ(self.conductance), σ(self.reset), σ(self.threshold)
        v = (1 - α * (1 - k)) * (1 - γ * s.z) * s.v - (1 - α) * l + (1 - β * (1 - g)) * I - (1 - γ) * r * s.z
        return GLIFState(v, z=spike(v - θ, self.surrogate))
