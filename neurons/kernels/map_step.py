"""The products of a linear map in single steps, on memory that all steps share."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.numerics.loops import bound
from throughtime.numerics.reductions import sum_of_rows


class MapStep:
    """A linear map d = W x + c, and the gradients of its parameters and its input.

    Args:
        W, c: parameters without a graph, [outputs, inputs] and [outputs]; c may be None.
        d, δd: memory for the output and its gradient, [batch, outputs].
        δW, δc: memory for the gradients of the parameters.
    """

    def __init__(self, W: Tensor, c: Tensor | None, d: Tensor, δd: Tensor, δW: Tensor, δc: Tensor | None) -> None:
        self.W, self.c, self.d, self.δd, self.δW = W, c, d, δd, δW
        self.W_t, self.δd_t = W.t(), δd.t()
        self.sum_up = None if δc is None else bound(sum_of_rows, δd, δc)

    def write(self, x: Tensor) -> None:
        """d = W x + c."""
        if self.c is None:
            torch.mm(x, self.W_t, out=self.d)
        else:
            torch.addmm(self.c, x, self.W_t, out=self.d)

    def add(self, x: Tensor) -> None:
        """d += W x + c."""
        torch.addmm(self.d, x, self.W_t, out=self.d)
        if self.c is not None:
            self.d += self.c

    def gradient(self, x: Tensor) -> None:
        """δW = Σ δd xᵀ and δc = Σ δd over the batch."""
        torch.mm(self.δd_t, x, out=self.δW)
        if self.sum_up is not None:
            self.sum_up()

    def write_input_gradient(self, δx: Tensor) -> None:
        """δx = Wᵀ δd."""
        torch.mm(self.δd, self.W, out=δx)

    def add_input_gradient(self, δx: Tensor) -> None:
        """δx += Wᵀ δd."""
        torch.addmm(δx, self.δd, self.W, out=δx)
