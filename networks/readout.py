"""Readouts: from what a layer shows to the network's output."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn


class Readout(nn.Module):
    """A linear map of spikes or membranes, d_t = W o_t + c, and what becomes of it over time.

    W is drawn by Glorot's normal rule, c = 0.

    Args:
        size: neurons read.
        outputs: width of the output.
        reads: `z` or `v`, the field of the neuron's State.
    """

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"]) -> None:
        super().__init__()
        self.reads = reads
        self.linear = nn.Linear(size, outputs)
        nn.init.xavier_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @abstractmethod
    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        """One step: d_t and y_{t−1} [batch, outputs] -> y_t."""

    def unroll(self, d: Tensor, y: Tensor) -> Tensor:
        """A window: d [steps, batch, outputs] and the y before it -> y [steps, batch, outputs]."""
        ys = []
        for d_t in d.unbind(0):
            y = self(d_t, y)
            ys.append(y)
        return torch.stack(ys)


class LeakyReadout(Readout):
    """Readout with a constant leak.

        y_t = κ y_{t−1} + (1 − κ) d_t,      y_0 = 0

    o = z with κ = exp(−1/τ): the leaky integrator of Bellec et al. 2020, equation 11, scaled as in their tutorials.
    o = v with κ = 0: the linear membrane readout of the adding task of Yin, Corradi and Bohte 2023.

    Args:
        decay: κ.
    """

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"], decay: float) -> None:
        super().__init__(size, outputs, reads)
        self.decay = decay

    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        return torch.lerp(d, y, self.decay)

    def unroll(self, d: Tensor, y: Tensor) -> Tensor:
        return super().unroll(d, y) if self.decay else d


class GatedReadout(Readout):
    """Readout whose leak is computed anew at each step, for each output.

        λ_t = σ(κ₃ (W_τ [d_t ; y_{t−1}] + b_τ))
        y_t = y_{t−1} + λ_t (d_t − y_{t−1}),       y_0 = 0

    W_τ is drawn by Glorot's normal rule, b_τ = 0; the slope κ₃ is learnt, from 1. Source: Yin, Corradi and Bohte 2023,
    as released (S-MNIST).
    """

    def __init__(self, size: int, outputs: int, reads: Literal["z", "v"]) -> None:
        super().__init__(size, outputs, reads)
        self.gate = nn.Linear(2 * outputs, outputs)
        nn.init.xavier_normal_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, d: Tensor, y: Tensor) -> Tensor:
        λ = torch.sigmoid(self.slope * self.gate(torch.cat((d, y), 1)))
        return torch.lerp(y, d, λ)
