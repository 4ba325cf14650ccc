"""Dropout whose masks depend on the sequence and the step, and not on the order of the computation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """In training, set numbers to 0 with probability p, independently at each step, and divide the others by 1 − p.

    The mask is a function of the key of the sequence, of the step and of the number of the module. Windows and single
    steps, and a step that a rule computes twice, therefore have the same masks. Masks are drawn on the CPU, so that
    they are the same on every device.

    Args:
        p: probability.
        number: a number that distinguishes the module from the others of its network.
        channels: whether whole channels are set to 0.
    """

    def __init__(self, p: float, number: int, channels: bool = False) -> None:
        super().__init__()
        self.p, self.number, self.channels = p, number, channels

    def forward(self, x: Tensor, key: int, t: int) -> Tensor:
        """Return x [batch, ...] of step t with its mask; x itself in evaluation."""
        if not self.training:
            return x
        shape = (*x.shape[:2], *[1] * (x.dim() - 2)) if self.channels else x.shape
        generator = torch.Generator().manual_seed((key + 1_000_003 * t + 7_919 * self.number) % 2**63)
        mask = torch.rand(shape, generator=generator) >= self.p
        return x * mask.to(x.device, x.dtype) / (1 - self.p)
