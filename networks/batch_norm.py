"""Batch normalisation with separate statistics for each time step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOMENTUM, EPSILON = 0.1, 1e-5


class StepBatchNorm(nn.Module):
    """Normalise over the batch at each time step, with running statistics of that step.

        x̂_t = w (x_t − mean_t) / √(var_t + ε) + c,      ε = EPSILON

    All steps share w and c. In training, mean_t and var_t are those of the batch, and update the running statistics
    with MOMENTUM; in evaluation they are the running ones. Steps beyond the last share its statistics: with one step
    this is ordinary batch normalisation. The statistics of a channel of images are those of all its positions. Samples
    of a batch are not independent, and a batch of one sample cannot be trained on, unless a channel has several
    positions. Source: Yin, Corradi and Bohte 2023, as released (S-MNIST; w starts at 0.1).

    Args:
        features: number of features, or of channels.
        steps: number of time steps with separate statistics.
        weight: initial value of w.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, steps: int, weight: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((features,), weight))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(steps, features))
        self.register_buffer("running_var", torch.ones(steps, features))

    def forward(self, x: Tensor, t: int) -> Tensor:
        """Normalise x [batch, features, ...] of step t."""
        return F.batch_norm(x, *self.running(t), self.weight, self.bias, self.training, MOMENTUM, EPSILON)

    def running(self, t: int) -> tuple[Tensor, Tensor]:
        """Return running mean and variance of step t."""
        t = min(t, self.running_mean.shape[0] - 1)
        return self.running_mean[t], self.running_var[t]
