"""FPTT's auxiliary ("oracle") loss: early outputs are asked for what is known of the class so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from throughtime.compiled import compiled, runs_compiled


class AuxiliaryLoss:
    """Cross-entropy to a table of class distributions, one for each class and part of the sequence.

        L_aux = mean over batch and classes of −q log p,     q = Q[y, part], or 1/C in the first epochs

    Q starts at 0 and keeps, for class y and part, the network's output distribution of the first sample of that class
    in the last batch in which the network got one wrong. The mean over classes, too, makes L_aux a C-th of a
    cross-entropy. All this is the authors' released code; the same table without a loop over samples.

    Args:
        classes: C.
        parts: parts of a sequence.
        uniform_epochs: epochs in which q is 1/C.
        like: dtype and device.
    """

    def __init__(self, classes: int, parts: int, uniform_epochs: int, like: Tensor) -> None:
        self.classes, self.uniform_epochs = classes, uniform_epochs
        self.Q = like.new_zeros(classes, parts, classes)

    def __call__(self, y: Tensor, target: Tensor, part: int, epoch: int) -> Tensor:
        """L_aux of one part from logits y [batch, C] and classes [batch]."""
        log_p = F.log_softmax(y.t(), 0)  # [C, batch]: four times as fast as along rows of ten
        if epoch < self.uniform_epochs:
            return log_p.mean() / -self.classes
        q = self.Q[:, part].t().index_select(1, target)
        return torch.dot(q.flatten(), log_p.flatten()) / -y.numel()

    def learn(self, y: Tensor, target: Tensor, part: int) -> None:
        """Q[y, part] ← the output distribution of the first sample of class y that is taken for another."""
        if runs_compiled(y, self.Q):
            keep_first_wrong(y, target, self.Q, part)
            return
        batch, q = len(y), self.Q[:, part].t()
        column = torch.arange(batch + self.classes, device=y.device)  # the samples, and what Q has of each class
        wrong = torch.where(y.argmax(1) == target, len(column), column[:batch])
        first = column[batch:].scatter_reduce(0, target, wrong, "amin")
        q.copy_(torch.cat((F.softmax(y.t(), 0), q), 1).index_select(1, first))


@compiled
def keep_first_wrong(y: Any, target: Any, Q: Any, part: int) -> None:
    """`AuxiliaryLoss.learn`, sample by sample."""
    batch, classes = y.shape
    kept = np.zeros(classes, np.bool_)
    for b in range(batch):
        c, largest = target[b], y[b].max()
        if not kept[c] and np.argmax(y[b]) != c:
            kept[c] = True
            sum = 0.0
            for j in range(classes):
                sum += np.exp(y[b, j] - largest)
            for j in range(classes):
                Q[c, part, j] = np.exp(y[b, j] - largest) / sum
