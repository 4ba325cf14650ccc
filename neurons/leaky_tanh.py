"""Leaky rate unit."""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field
from torch import Tensor

from throughtime.neurons.base import Neuron, Shape
from throughtime.numerics.equations.operations import tanh
from throughtime.registry import neuron


class LeakyTanhState(NamedTuple):
    """h twice, as v and as z, [batch, size]."""

    v: Tensor
    z: Tensor


@neuron("leaky_tanh")
class LeakyTanh(Neuron):
    """Rate unit that approaches tanh of its current: h_t = (1 − α) h_{t−1} + α tanh(I_t),  z_t = v_t = h_t.

    The unit does not spike; with α = 1 it is `rnn`. Cost: 4 elementwise operations per step; state 2 × size numbers.
    Source: Murray 2019, with its α = 1/τ = 0.1 (RFLO_Example.ipynb); Marschall, Cho and Savin 2020, with α = 1 and 0.5.

    Args:
        shape: units, their number or their arrangement.
        alpha: α, fraction of the way in a step.
        initial: h of every unit before the first step; 0.1 in Murray's notebook, whose network has no input.

    Example:
        >>> neuron = tt.neuron_type("leaky_tanh")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'z'))

    References:
        Murray 2019: https://doi.org/10.7554/eLife.43299
        Marschall, Cho and Savin 2020: https://doi.org/10.48550/arXiv.1907.02649
    """

    spiking: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    def __init__(self, shape: Shape, *, alpha: Annotated[float, Field(gt=0, le=1)] = 0.1, initial: float = 0.0) -> None:
        super().__init__(shape)
        self.alpha, self.initial = alpha, initial

    def initial_state(self, batch: int, like: Tensor) -> LeakyTanhState:
        h = like.new_full((batch, *self.shape), self.initial)
        return LeakyTanhState(v=h, z=h)

    def step(self, I: Tensor, s: LeakyTanhState) -> LeakyTanhState:
        h = (1 - self.alpha) * s.v + self.alpha * tanh(I)
        return LeakyTanhState(v=h, z=h)
