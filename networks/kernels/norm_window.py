"""Batch normalisation of a window's steps with an explicit gradient: one operation per step in each direction."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.networks.batch_norm import EPSILON, MOMENTUM, StepBatchNorm
from throughtime.numerics.loops import bound, runs_compiled
from throughtime.numerics.norm_loops import Norm, normalise, normalise_adjoint


def norm_of(norm: StepBatchNorm, x: Tensor) -> Norm:
    """Return a norm with memory for the statistics of a window x [steps, batch, features], in the form that loops
    read."""
    statistics = x.new_empty(2, len(x), x.shape[2]).unbind(0)
    running = (norm.running_mean, norm.running_var)
    return Norm(norm.weight.detach(), norm.bias.detach(), *running, MOMENTUM, EPSILON, norm.training, *statistics)


class NormWindow:
    """The forward and backward pass of a StepBatchNorm over a window of steps.

    The object stores x and the statistics of each step; the caller must not modify x before the backward pass.

    Args:
        norm: the norm, in training or evaluation mode.
        x, y: memory for its input and output, [steps, batch, features].
        adds: whether it adds its output to y.
    """

    def __init__(self, norm: StepBatchNorm, x: Tensor, y: Tensor, adds: bool) -> None:
        self.norm, self.training, self.x, self.y, self.adds = norm, norm.training, x, y, adds
        running = (norm.running_mean, norm.running_var)
        self.reads = () if self.training else running
        """Tensors that the backward pass reads besides the parameters."""
        self.compiled = runs_compiled(x, y, norm.weight.detach(), norm.bias.detach(), *running)
        if self.compiled:
            self.in_loops = norm_of(norm, x)
            self.forward = bound(normalise, x, self.in_loops, y, adds)
        else:
            self.statistics: list[tuple[Tensor, Tensor]] = []

    def step(self, t: int, first: int) -> None:
        """Normalise x_t of a window that begins at step `first` of the sequence."""
        if self.compiled:
            self.forward(t, first)
            return
        w, c = self.norm.weight.detach(), self.norm.bias.detach()
        running_mean, running_var = self.norm.running(first + t)
        y_t, mean, rstd = torch.native_batch_norm(
            self.x[t], w, c, running_mean, running_var, self.training, MOMENTUM, EPSILON
        )
        self.y[t].add_(y_t) if self.adds else self.y[t].copy_(y_t)
        self.statistics.append((mean, rstd))
        self.first = first

    def end(self) -> None:
        """Release y; only the backward pass may follow."""
        del self.y
        if self.compiled:
            del self.forward

    def begin_back(self, δy: Tensor, δx: Tensor, δw: Tensor | None = None, δc: Tensor | None = None) -> None:
        """Begin the backward pass of a window, or of a single step that is repeated.

        Args:
            δy, δx: memory for the gradients of y and x.
            δw, δc: memory for the gradients of the parameters; None: new memory.
        """
        self.δy, self.δx = δy, δx
        self.δw = torch.empty_like(self.norm.weight, requires_grad=False) if δw is None else δw
        self.δc = torch.empty_like(self.norm.bias, requires_grad=False) if δc is None else δc
        if self.compiled:
            self.adjoint = bound(normalise_adjoint, self.x, self.in_loops, δy, δx, self.δw, self.δc)

    def back(self, t: int) -> None:
        """Compute δx_t. Steps are taken from the last, which begins the sums δw and δc, to the first."""
        if self.compiled:
            self.adjoint(t)
            return
        running = (None, None) if self.training else self.norm.running(self.first + t)
        w = self.norm.weight.detach()
        δx, δw, δc = torch.ops.aten.native_batch_norm_backward.default(
            self.δy[t], self.x[t], w, *running, *self.statistics[t], self.training, EPSILON, (True, True, True)
        )
        self.δx[t] = δx
        if t == len(self.x) - 1:
            self.δw, self.δc = δw, δc
        else:
            self.δw += δw
            self.δc += δc
