"""Soft spiking neural unit."""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.numerics.equations.operations import σ
from throughtime.registry import neuron


class SSNUState(NamedTuple):
    """Membrane potential and graded output, [batch, size]."""

    v: Tensor
    z: Tensor


@neuron("ssnu")
class SSNU(Neuron):
    """Soft spiking neural unit: a leaky integrator with a graded output that also resets it.

        v_t = I_t + d v_{t−1} (1 − z_{t−1})
        z_t = σ(v_t − b)

    Each unit has a trained b. The unit does not spike. Cost: about 5 elementwise operations per step; state 2 × size
    numbers. Source: Woźniak et al. 2020, in the form of Bohnstingl et al. 2022 and their released code (IBM/ostl,
    OSTL_Tutorial_JSB_stripped.ipynb: no activation of the membrane, d = 0.4, b from 1).

    Args:
        shape: units, their number or their arrangement.
        decay: d, per step.
        bias: initial b.

    Example:
        >>> neuron = tt.neuron_type("ssnu")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'z'))

    References:
        Woźniak et al. 2020: https://doi.org/10.1038/s42256-020-0187-0
        Bohnstingl et al. 2022: https://doi.org/10.48550/arXiv.2007.12723
    """

    spiking: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    def __init__(self, shape: Shape, *, decay: Annotated[float, Field(ge=0, le=1)] = 0.4, bias: float = 1.0) -> None:
        super().__init__(shape)
        self.decay, self.bias = decay, nn.Parameter(torch.full(self.shape, bias))

    def initial_state(self, batch: int, like: Tensor) -> SSNUState:
        zeros = like.new_zeros(batch, *self.shape)
        return SSNUState(v=zeros, z=zeros)

    def step(self, I: Tensor, s: SSNUState) -> SSNUState:
        v = I + self.decay * s.v * (1 - s.z)
        return SSNUState(v, z=σ(v - self.bias))
