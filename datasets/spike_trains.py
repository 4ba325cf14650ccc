"""Random spike trains."""

from __future__ import annotations

import torch
from torch import Tensor


def poisson(rate: Tensor, group: int, generator: torch.Generator, dt: float = 1.0) -> Tensor:
    """Draw spikes of groups of neurons: in each step with probability rate · dt, on its own.

    Args:
        rate: [..., groups], in Hz.
        group: neurons that each group has.
        generator: where the random numbers come from.
        dt: a step, in ms.

    Returns:
        [..., groups x group] float32, zeros and ones, the first group first.
    """
    p = rate.flatten() * (dt / 1000)
    spikes = torch.zeros(len(p), group)
    # Numbers are drawn for the groups that send anything alone: most are silent most of the time.
    active = p.nonzero().squeeze(1)
    drawn = torch.rand(len(active), group, generator=generator)
    spikes.index_copy_(0, active, torch.lt(drawn, p[active].unsqueeze(1), out=drawn))
    return spikes.view(*rate.shape[:-1], -1)
