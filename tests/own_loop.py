"""A small learner and a batch for it, for tests of training in one's own loop."""

from __future__ import annotations

import torch
from torch.nn.utils import parameters_to_vector

import throughtime as tt
from throughtime.datasets.task import Classification


def small(rule: str = "bptt", **options) -> tt.Learner:
    network = tt.build_network("recurrent", 2, 2, hidden=[5])
    return tt.Learner(network, tt.build_rule(rule, **options), Classification(2), steps=6)


def sequences(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(6, 8, 2, generator=generator), torch.randint(2, (8,), generator=generator)


def weights(learner: tt.Learner) -> torch.Tensor:
    return parameters_to_vector(learner.network.parameters()).detach()
