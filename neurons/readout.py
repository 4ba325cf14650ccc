"""Readouts: from what a layer shows to the network's output."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn


class Readout(nn.Module):
    """Leaky readout of spikes or membranes.

        y_t = κ y_{t−1} + (1 − κ) (W o_t + c),      y_0 = 0

    o = z with κ = exp(−1/τ): the leaky integrator of Bellec et al. 2020, equation 11, scaled as in their tutorials.
    o = v with κ = 0: the linear membrane readout of the adding task of Yin, Corradi and Bohte 2023.
    W is drawn by Glorot's normal rule, c = 0.

    Args:
        size: neurons read.
        outputs: width of the output.
        reads: `z` or `v`, the field of the neuron's State.
        decay: κ.
    """

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"], decay: float) -> None:
        super().__init__()
        self.reads, self.decay = reads, decay
        self.linear = nn.Linear(size, outputs)
        nn.init.xavier_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, o: Tensor, y: Tensor) -> Tensor:
        """One step: o [batch, size], y [batch, outputs] -> y."""
        return torch.lerp(self.linear(o), y, self.decay)

    def unroll(self, o: Tensor, y: Tensor) -> Tensor:
        """A window: o [steps, batch, size] -> y [steps, batch, outputs]; the product of all steps at once."""
        drive = self.linear(o)
        if self.decay == 0:
            return drive
        ys = []
        for drive_t in drive.unbind(0):
            y = torch.lerp(drive_t, y, self.decay)
            ys.append(y)
        return torch.stack(ys)
