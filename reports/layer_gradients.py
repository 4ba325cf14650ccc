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


def gradients_by_parameter(network: Network, rule: str, x: Tensor, target: Tensor, task: Task) -> dict[Tensor, Tensor]:
    """Return a rule's gradient of a batch with a loss at every step by each parameter of a network: the step of SGD
    with a learning rate of 1 on a copy."""
    learnt = copy.deepcopy(network)
    learner = Learner(learnt, ALGORITHMS[rule].factory(loss_at="every"), task, len(x))
    learner.learn(x, target, torch.optim.SGD(learner.parameters(), lr=1.0))
    return {p: p.detach() - q.detach() for p, q in zip(network.parameters(), learnt.parameters(), strict=True)}


def layer_gradients(network: Network, rule: str, x: Tensor, target: Tensor, task: Task) -> list[Tensor]:
    """Return `gradients_by_parameter` by all parameters of each layer, flat, the first layer first."""
    by = gradients_by_parameter(network, rule, x, target, task)
    return [torch.cat([by[p].flatten() for p in layer.parameters()]) for layer in network.layers]


def layer_cosines(some: Sequence[Tensor], others: Sequence[Tensor]) -> tuple[float, ...]:
    """Return the cosine of two gradients for each layer."""
    return tuple(float(torch.cosine_similarity(g, e, 0)) for g, e in zip(some, others, strict=True))


def largest_difference(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the largest difference of two gradients over the largest number of the second."""
    g, e = torch.cat([*some]), torch.cat([*others])
    return float((g - e).abs().max() / e.abs().max())
