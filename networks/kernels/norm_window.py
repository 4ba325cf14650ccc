"""Batch normalisation of a window's steps, written out: one operation a step forward and one backward."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.networks.batch_norm import EPSILON, MOMENTUM, StepBatchNorm
from throughtime.numerics.loops import runs_compiled
from throughtime.numerics.norm_loops import normalise, normalise_adjoint


class NormWindow:
    """A StepBatchNorm from step `first` of the sequence on: what its `forward` and autograd compute.

    Kept: the statistics of each step, and the input, which the caller must leave as it is.

    Args:
        like: the window, [steps, batch, features].
    """

    def __init__(self, norm: StepBatchNorm, first: int, like: Tensor) -> None:
        self.norm, self.first, self.training = norm, first, norm.training
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []
        running = (norm.running_mean, norm.running_var)
        self.reads = () if self.training else running
        """Besides what it learns, on the way back."""
        self.compiled = runs_compiled(like, self.weight, self.bias, *running)
        if self.compiled:
            self.mean, self.rstd = (
                each.unbind(0) for each in like.new_empty(2, like.shape[0], like.shape[2]).unbind(0)
            )

    def step(self, x: Tensor, y: Tensor, adds: bool) -> None:
        """Of the next step, [batch, features], into y or, where it `adds`, added to what is there."""
        t, norm, learnt, trains = len(self.kept), self.norm, (self.weight, self.bias), self.training
        if self.compiled:
            mean, rstd, running = self.mean[t], self.rstd[t], (norm.running_mean, norm.running_var, self.first + t)
            normalise(x, *learnt, *running, MOMENTUM, EPSILON, trains, mean, rstd, y, adds)
        else:
            normed, mean, rstd = torch.native_batch_norm(
                x, *learnt, *norm.running(self.first + t), trains, MOMENTUM, EPSILON
            )
            torch.add(y, normed, out=y) if adds else y.copy_(normed)
        self.kept.append((x, mean, rstd))

    def begin_back(self) -> None:
        self.δw, self.δc = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def back(self, t: int, δy: Tensor, δx: Tensor) -> None:
        """δx of the window's step t."""
        x, *statistics = self.kept[t]
        if self.compiled:
            normalise_adjoint(x, self.weight, *statistics, δy, self.training, δx, self.δw, self.δc)
            return
        running = (None, None) if self.training else self.norm.running(self.first + t)
        found, δw, δc = torch.ops.aten.native_batch_norm_backward.default(
            δy, x, self.weight, *running, *statistics, self.training, EPSILON, (True, True, True)
        )
        δx.copy_(found)
        self.δw += δw
        self.δc += δc
