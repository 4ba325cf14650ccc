"""Rules with one fault each, for the command line to find."""

import torch

from throughtime import algorithm
from throughtime.algorithms.base import Claims
from throughtime.algorithms.bptt import BPTT


@algorithm("ascends")
class Ascends(BPTT):
    """BPTT up the loss."""

    def learn(self, x, target, t):
        loss = self.window_loss(x, target, "end")
        (-loss).backward()
        self.update()
        return loss.detach()


@algorithm("divides-by-zero")
class DividesByZero(BPTT):
    """Its gradients are no numbers, and it says that they are near."""

    claims = Claims(gradient="approximate", memory="O(T)")

    def learn(self, x, target, t):
        learnt = super().learn(x, target, t)
        for p in self.network.parameters():
            p.grad = torch.zeros_like(p) / 0
        self.update()
        return learnt
