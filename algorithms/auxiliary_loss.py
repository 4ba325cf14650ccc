"""FPTT's auxiliary ("oracle") loss: early outputs are asked for what is known of the class so far."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
        log_p = F.log_softmax(y, 1)
        q = torch.full_like(y, 1 / self.classes) if epoch < self.uniform_epochs else self.Q[target, part]
        return -(q * log_p).mean()

    def learn(self, y: Tensor, target: Tensor, part: int) -> None:
        """Q[y, part] ← the output distribution of the first sample of class y that is taken for another."""
        p = F.softmax(y, 1)
        batch = len(target)
        sample = torch.arange(batch, device=target.device)
        wrong = torch.where(p.argmax(1) == target, batch, sample)
        first = torch.full((self.classes,), batch, device=target.device).scatter_reduce(0, target, wrong, "amin")
        found = first < batch
        self.Q[found, part] = p[first[found]]
