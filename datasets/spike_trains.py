"""Random spike trains."""

from __future__ import annotations

import torch
from torch import Tensor


def poisson(rate: Tensor, group: int, generator: torch.Generator) -> Tensor:
    """Draw Poisson spikes of groups of neurons: independently, with probability rate · 1 ms in each step.

    Args:
        rate: [..., groups], in Hz.
        group: neurons in each group.
        generator: source of the random numbers.

    Returns:
        [..., groups x group] float32, zeros and ones, the first group first.
    """
    p = rate.flatten() * 1e-3
    spikes = torch.zeros(len(p), group)
    # Numbers are drawn only for groups with a rate above 0: most groups are silent most of the time.
    active = p.nonzero().squeeze(1)
    drawn = torch.rand(len(active), group, generator=generator)
    spikes.index_copy_(0, active, torch.lt(drawn, p[active].unsqueeze(1), out=drawn))
    return spikes.view(*rate.shape[:-1], -1)
