"""Long short-term memory."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor

from throughtime.neurons.base import Neuron
from throughtime.numerics.equations.operations import tanh, σ
from throughtime.registry import neuron


class LSTMState(NamedTuple):
    """Cell state c, and h twice, as v and as z, [batch, size]."""

    c: Tensor
    v: Tensor
    z: Tensor


@neuron("lstm")
class LSTM(Neuron):
    """LSTM cell, of four currents I, F, G, O.

        c_t = σ(F_t) c_{t−1} + σ(I_t) tanh(G_t)
        h_t = σ(O_t) tanh(c_t)

    The cell does not spike: its output and the variable of membrane readouts are both h, v_t = z_t = h_t. With a bias
    on the recurrent weights a layer equals torch.nn.LSTM. Cost: about 9 elementwise operations per step; state 3 × size
    numbers. Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; the order of the
    currents is torch.nn.LSTM's.

    Args:
        shape: cells, their number or their arrangement.

    Example:
        >>> neuron = tt.neuron_type("lstm")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 4 * 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('c', 'v', 'z'))

    References:
        Hochreiter and Schmidhuber 1997: https://doi.org/10.1162/neco.1997.9.8.1735
        Gers et al. 2000: https://doi.org/10.1162/089976600300015015
    """

    currents: ClassVar[int] = 4
    spiking: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    def initial_state(self, batch: int, like: Tensor) -> LSTMState:
        zeros = like.new_zeros(batch, *self.shape)
        return LSTMState(c=zeros, v=zeros, z=zeros)

    def step(self, currents: tuple[Tensor, ...], s: LSTMState) -> LSTMState:
        I, F, G, O = currents
        c = σ(F) * s.c + σ(I) * tanh(G)
        h = σ(O) * tanh(c)
        return LSTMState(c, v=h, z=h)
