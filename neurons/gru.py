"""Gated recurrent unit."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor

from throughtime.neurons.base import Neuron
from throughtime.numerics.equations.operations import tanh, σ
from throughtime.registry import neuron


class GRUState(NamedTuple):
    """h twice, as v and as z, [batch, size]."""

    v: Tensor
    z: Tensor


@neuron("gru")
class GRU(Neuron):
    """GRU cell, of four currents R, U, N, M.

        n_t = tanh(N_t + σ(R_t) M_t)
        h_t = (1 − σ(U_t)) n_t + σ(U_t) h_{t−1}

    The cell does not spike: z_t = v_t = h_t. Each current X is a sum W_X x_t + c_X + R_X h_{t−1} of the layer. A layer
    equals torch.nn.GRU, with the bias b_hn as c_M, where R_N and W_M are 0; the layer trains these two blocks, too, a
    third more weights. Cost: about 10 elementwise operations per step; state 2 × size
    numbers. Source: Cho et al. 2014, with the reset gate after the product, as in cuDNN and torch.nn.GRU.

    Args:
        shape: cells, their number or their arrangement.

    Example:
        >>> neuron = tt.neuron_type("gru")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 4 * 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'z'))

    References:
        Cho et al. 2014: https://doi.org/10.48550/arXiv.1406.1078
    """

    currents: ClassVar[int] = 4
    spiking: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    def initial_state(self, batch: int, like: Tensor) -> GRUState:
        zeros = like.new_zeros(batch, *self.shape)
        return GRUState(v=zeros, z=zeros)

    def step(self, I: tuple[Tensor, Tensor, Tensor, Tensor], s: GRUState) -> GRUState:
        R, U, N, M = I
        n, u = tanh(N + σ(R) * M), σ(U)
        h = (1 - u) * n + u * s.v
        return GRUState(v=h, z=h)
