"""Random signs of the rules that estimate the influence of the parameters by products of few numbers."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.influence.influence import InfluenceRule
from throughtime.networks.base import Network

TINY = 1e-7
"""Added to norms and scales, so that none is 0 or infinite: saturated neurons have a Jacobian of 0."""


class RandomSigns(InfluenceRule):
    """Carries an estimate of the influence M whose mean over random signs is M.

    The gradient is the mean of r independent estimates; its variance is that of one divided by r.

    Args:
        loss_at, update_every: as in `InfluenceRule`.
        draws: r.
    """

    def __init__(
        self, *, loss_at: LossAt = "end", update_every: PositiveInt | None = None, draws: PositiveInt = 1
    ) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every)
        self.draws = draws

    def sizes(self, network: Network, batch: int, steps: int) -> dict[str, int]:
        return super().sizes(network, batch, steps) | {"D": self.draws}

    def signs(self, *shape: int) -> Tensor:
        """Draw numbers that are 1 or −1 with equal probability, on the processor: the same on every device."""
        return torch.randint(2, shape) * 2 - 1


def norms(factor: Tensor) -> Tensor:
    """Return the norm of a factor of each draw and sample, [draws, batch]."""
    return factor.flatten(2).norm(dim=2)


def balance(growing: Tensor, shrinking: Tensor) -> Tensor:
    """Return ρ = √(‖growing‖ / ‖shrinking‖) from the two norms; with ρ · shrinking and growing / ρ both factors of a
    product have equal norms, and its variance is smallest."""
    return (growing / (shrinking + TINY)).sqrt() + TINY
