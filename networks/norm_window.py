"""Batch normalisation of a window's steps, written out: one operation a step forward and one backward."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.networks.batch_norm import EPSILON, MOMENTUM, StepBatchNorm


class NormWindow:
    """A StepBatchNorm from step `first` of the sequence on: what its `forward` and autograd compute.

    Kept: the statistics of each step, and the input, which the caller must leave as it is.
    """

    def __init__(self, norm: StepBatchNorm, first: int) -> None:
        self.norm, self.first, self.training = norm, first, norm.training
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []
        self.reads = () if self.training else (norm.running_mean, norm.running_var)
        """Besides what it learns, on the way back."""

    def step(self, x: Tensor) -> Tensor:
        """Of the next step, [batch, features]."""
        mean, var = self.norm.running(self.first + len(self.kept))
        y, *statistics = torch.native_batch_norm(x, self.weight, self.bias, mean, var, self.training, MOMENTUM, EPSILON)
        self.kept.append((x, *statistics))
        return y

    def begin_back(self) -> None:
        self.δw, self.δc = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def back(self, t: int, δy: Tensor) -> Tensor:
        """δx of the window's step t."""
        x, *statistics = self.kept[t]
        running = (None, None) if self.training else self.norm.running(self.first + t)
        δx, δw, δc = torch.ops.aten.native_batch_norm_backward.default(
            δy, x, self.weight, *running, *statistics, self.training, EPSILON, (True, True, True)
        )
        self.δw += δw
        self.δc += δc
        return δx
