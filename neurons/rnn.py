"""Cell of the plain recurrent network."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor

from throughtime.neurons.base import Neuron
from throughtime.numerics.equations.operations import tanh
from throughtime.registry import neuron


class RNNState(NamedTuple):
    """h twice, as v and as z, [batch, size]."""

    v: Tensor
    z: Tensor


@neuron("rnn")
class RNN(Neuron):
    """Cell without a memory of its own, of the plain recurrent network: h_t = tanh(I_t).

    The cell does not spike: its output and the variable of membrane readouts are both h, v_t = z_t = h_t. With a bias
    on the recurrent weights a layer equals torch.nn.RNN. Cost: one elementwise operation per step; state 2 × size
    numbers. Source: Elman 1990.

    Args:
        shape: cells, their number or their arrangement.

    Example:
        >>> neuron = tt.neuron_type("rnn")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'z'))

    References:
        Elman 1990: https://doi.org/10.1207/s15516709cog1402_1
    """

    spiking: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    def initial_state(self, batch: int, like: Tensor) -> RNNState:
        zeros = like.new_zeros(batch, *self.shape)
        return RNNState(v=zeros, z=zeros)

    def step(self, I: Tensor, s: RNNState) -> RNNState:
        h = tanh(I)
        return RNNState(v=h, z=h)
