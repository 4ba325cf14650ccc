"""Batch normalisation of a window's steps with an explicit gradient: one operation per step in each direction."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.networks.batch_norm import EPSILON, MOMENTUM, StepBatchNorm
from throughtime.numerics.loops import runs_compiled
from throughtime.numerics.norm_loops import normalise, normalise_adjoint


class NormWindow:
    """The forward and backward pass of a StepBatchNorm over a window that begins at step `first` of the sequence.

    The object stores the statistics and the input of each step; the caller must not modify the input.

    Args:
        like: the window, [steps, batch, features].
    """

    def __init__(self, norm: StepBatchNorm, first: int, like: Tensor) -> None:
        self.norm, self.first, self.training = norm, first, norm.training
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []
        running = (norm.running_mean, norm.running_var)
        self.reads = () if self.training else running
        """Tensors that the backward pass reads besides the parameters."""
        self.compiled = runs_compiled(like, self.weight, self.bias, *running)
        if self.compiled:
            self.mean, self.rstd = (
                each.unbind(0) for each in like.new_empty(2, like.shape[0], like.shape[2]).unbind(0)
            )

    def step(self, x: Tensor, y: Tensor, adds: bool) -> None:
        """Normalise x of the next step, [batch, features], and write the result to y, or add it to y if `adds`."""
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
        """Write δx of the window's step t, and add its contributions to δw and δc."""
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
