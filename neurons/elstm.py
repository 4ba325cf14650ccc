"""LSTM with element-wise recurrence."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.neurons.base import Neuron, Shape
from throughtime.numerics.equations.operations import tanh, σ
from throughtime.registry import neuron


class ELSTMState(NamedTuple):
    """c twice, as v and as z, [batch, size]."""

    v: Tensor
    z: Tensor


@neuron("elstm")
class ELSTM(Neuron):
    """Cell of the eLSTM, whose recurrence is element-wise, of two currents Z, F.

        f_t = σ(F_t + w_f c_{t−1}),   a_t = tanh(Z_t + w_z c_{t−1})
        c_t = f_t c_{t−1} + (1 − f_t) a_t,   z_t = v_t = c_t

    Each cell has trained w_f and w_z; the biases are those of the currents. The cell does not spike. Without recurrent
    weights no cell depends on another, so that rules with traces per neuron compute the exact gradient with a trace for
    each synapse. Cost: about 8 elementwise operations per step; state 2 × size numbers. Source: Irie, Gopalakrishnan
    and Schmidhuber 2024, with the initial distribution N(0, 0.1²) of w_f and w_z of their released code
    (diagnostic/rtrl_layers.py). The output gate of the source, σ(O [x_t ; c_t]) with a dense O, multiplies what the
    readout reads, and is not part of the cell.

    Args:
        shape: cells, their number or their arrangement.

    Example:
        >>> neuron = tt.neuron_type("elstm")(5)
        >>> state = neuron.initial_state(2, torch.zeros(()))
        >>> z, state = neuron(torch.ones(2, 2 * 5), state)
        >>> z.shape, state._fields
        (torch.Size([2, 5]), ('v', 'z'))

    References:
        Irie, Gopalakrishnan and Schmidhuber 2024: https://doi.org/10.48550/arXiv.2305.19044
    """

    currents: ClassVar[int] = 2
    spiking: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.w_z, self.w_f = (nn.Parameter(0.1 * torch.randn(self.shape)) for _ in range(2))

    def initial_state(self, batch: int, like: Tensor) -> ELSTMState:
        zeros = like.new_zeros(batch, *self.shape)
        return ELSTMState(v=zeros, z=zeros)

    def step(self, I: tuple[Tensor, Tensor], s: ELSTMState) -> ELSTMState:
        Z, F = I
        f, a = σ(F + self.w_f * s.v), tanh(Z + self.w_z * s.v)
        c = f * s.v + (1 - f) * a
        return ELSTMState(v=c, z=c)
