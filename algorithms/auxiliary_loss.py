"""The auxiliary ("oracle") loss of the authors of FPTT: an early output has a class distribution as its target."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from throughtime.numerics.loops import compiled, runs_compiled


class AuxiliaryLoss:
    """Cross-entropy with a table of class distributions, one for each class and part of the sequence.

        L_aux = mean over batch and classes of −q log p,     q = Q[y, part], or 1/C in the first epochs

    Q starts at 0. Q[y, part] is the output distribution of the network for the first misclassified sample of class y in
    the last batch that has one. The mean over classes makes L_aux a C-th of a cross-entropy, as in the authors'
    released code; this implementation has no loop over samples.

    Args:
        classes: C.
        parts: number of parts of a sequence.
        uniform_epochs: number of first epochs in which q is 1/C.
        like: tensor with the dtype and device of Q.
    """

    def __init__(self, classes: int, parts: int, uniform_epochs: int, like: Tensor) -> None:
        self.classes, self.uniform_epochs = classes, uniform_epochs
        self.Q = like.new_zeros(classes, parts, classes)

    def beside(self, w: float, y: Tensor, target: Tensor, part: int, epoch: int) -> Tensor:
        """Return w l + (1 − w) L_aux of one part, where l is the cross-entropy, for logits y [batch, C] and classes
        [batch].

        Raises:
            IndexError: a target is not one of the C classes.
        """
        if runs_compiled(y, self.Q, graph_is_ours=True):
            return _Beside.apply(self, w, y, target, part, epoch)
        return torch.lerp(self(y, target, part, epoch), F.cross_entropy(y, target), w)

    def beside_and_gradient(self, w: float, y: Tensor, target: Tensor, part: int, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the value of `beside` and its gradient by y, without a graph, by a compiled loop."""
        loss, δy = y.new_empty(()), torch.empty_like(y)
        cross_entropies(y, target, self.Q, part, w, epoch < self.uniform_epochs, loss, δy)
        return loss, δy

    def __call__(self, y: Tensor, target: Tensor, part: int, epoch: int) -> Tensor:
        """Return L_aux."""
        log_p = F.log_softmax(y.t(), 0)  # [C, batch]: four times as fast as over rows of ten
        if epoch < self.uniform_epochs:
            return log_p.mean() / -self.classes
        q = self.Q[:, part].t().index_select(1, target)
        return torch.dot(q.flatten(), log_p.flatten()) / -y.numel()

    def learn(self, y: Tensor, target: Tensor, part: int) -> None:
        """Set Q[y, part] to the output distribution of the first misclassified sample of class y."""
        if runs_compiled(y, self.Q):
            keep_first_wrong(y, target, self.Q, part)
            return
        batch, q = len(y), self.Q[:, part].t()
        column = torch.arange(batch + self.classes, device=y.device)  # indices of the samples, then of the rows of Q
        wrong = torch.where(y.argmax(1) == target, len(column), column[:batch])
        first = column[batch:].scatter_reduce(0, target, wrong, "amin")
        q.copy_(torch.cat((F.softmax(y.t(), 0), q), 1).index_select(1, first))


class _Beside(torch.autograd.Function):
    """`AuxiliaryLoss.beside`, whose forward pass also computes the gradient."""

    @staticmethod
    def forward(ctx: Any, table: AuxiliaryLoss, w: float, y: Tensor, target: Tensor, part: int, epoch: int) -> Tensor:
        loss, δy = table.beside_and_gradient(w, y, target, part, epoch)
        ctx.save_for_backward(δy)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, δ: Tensor) -> tuple[Tensor | None, ...]:
        (δy,) = ctx.saved_tensors
        return None, None, δy * δ, None, None, None


@compiled
def cross_entropies(y: Any, target: Any, Q: Any, part: int, w: float, uniform: bool, loss: Any, δy: Any) -> None:
    """E = Σ −r log p / batch with r = w [c = target] + (1 − w) q / C, and ∂E/∂y = (p Σ_c r − r) / batch."""
    batch, C = y.shape
    E = 0.0
    for b in range(batch):
        if not 0 <= target[b] < C:
            raise IndexError("a target is not a class")
        largest = y[b].max()
        sum = sum_r = 0.0
        for c in range(C):
            sum += np.exp(y[b, c] - largest)
            q = 1 / C if uniform else Q[target[b], part, c]
            δy[b, c] = (1 - w) * q / C + (w if c == target[b] else 0.0)
            sum_r += δy[b, c]
        log_sum = np.log(sum) + largest
        for c in range(C):
            log_p, r = y[b, c] - log_sum, δy[b, c]
            E -= r * log_p
            δy[b, c] = (np.exp(log_p) * sum_r - r) / batch
    loss[()] = E / batch


@compiled
def keep_first_wrong(y: Any, target: Any, Q: Any, part: int) -> None:
    """`AuxiliaryLoss.learn`, sample by sample."""
    batch, classes = y.shape
    seen = np.zeros(classes, np.bool_)
    for b in range(batch):
        c, largest = target[b], y[b].max()
        if not seen[c] and np.argmax(y[b]) != c:
            seen[c] = True
            sum = 0.0
            for j in range(classes):
                sum += np.exp(y[b, j] - largest)
            for j in range(classes):
                Q[c, part, j] = np.exp(y[b, j] - largest) / sum
