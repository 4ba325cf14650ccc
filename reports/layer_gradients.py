"""The gradient of a rule by the parameters of each layer, and its cosine with another."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from throughtime.datasets.task import Task
from throughtime.harness.learner import Learner
from throughtime.networks.base import Network
from throughtime.registry import ALGORITHMS


def layer_gradients(network: Network, rule: str, x: Tensor, target: Tensor, task: Task) -> list[Tensor]:
    """Return a rule's gradient of a batch with a loss at every step by all parameters of each layer, flat, the first
    layer first: the step of SGD with a learning rate of 1 on a copy of the network."""
    network = copy.deepcopy(network)
    before = [_flat(layer) for layer in network.layers]
    learner = Learner(network, ALGORITHMS[rule].factory(loss_at="every"), task, len(x))
    learner.learn(x, target, torch.optim.SGD(learner.parameters(), lr=1.0))
    return [old - _flat(layer) for old, layer in zip(before, network.layers, strict=True)]


def layer_cosines(gradients: Sequence[Tensor], others: Sequence[Tensor]) -> tuple[float, ...]:
    """Return the cosine of two gradients for each layer."""
    return tuple(float(torch.cosine_similarity(g, e, 0)) for g, e in zip(gradients, others, strict=True))


def largest_difference(gradients: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the largest difference of two gradients over the largest number of the second."""
    g, e = torch.cat([*gradients]), torch.cat([*others])
    return float((g - e).abs().max() / e.abs().max())


def _flat(layer: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in layer.parameters()])
