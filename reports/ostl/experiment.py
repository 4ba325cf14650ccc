"""BPTT and OSTL trained side by side in float64: the negative log-likelihood of a step after each epoch."""

from __future__ import annotations

import torch

from throughtime.algorithms.base import LearningRule
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.influence.ostl import OSTL
from throughtime.datasets.base import Dataset
from throughtime.datasets.batch import target_rows
from throughtime.harness.learner import Learner
from throughtime.networks.base import Network
from throughtime.networks.presets import jsb_rnn
from throughtime.neurons.ssnu import SSNU
from throughtime.numerics.trees import rows

RATE = 1e-3
"""Step size for the sum of the losses of the steps."""


def curve(rule: LearningRule, dataset: Dataset, units: int, epochs: int) -> list[float]:
    """Train one sequence at a time with SGD; return the test metric after each epoch.

    Args:
        rule: the rule.
        dataset: a dataset with the task `MultiLabel`.
        units: number of units.
        epochs: number of epochs; all present the training sequences in the order of the split.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1234)
        network = jsb_rnn(dataset.inputs, dataset.outputs, SSNU, hidden=[units]).double()
    learner = Learner(network, rule, dataset.task, dataset.steps)
    optimiser = torch.optim.SGD(learner.parameters(), lr=RATE * dataset.steps)
    metrics = []
    for _ in range(epochs):
        for batch in dataset.batches("train", 1):
            learner.learn(batch.x.double(), batch.target.double(), optimiser)
        metrics.append(_test_metric(network, dataset))
    return metrics


@torch.no_grad()
def _test_metric(network: Network, dataset: Dataset) -> float:
    meter = dataset.task.meter()
    for batch in dataset.batches("test", dataset.evaluation_batch):
        outputs = network.unroll(batch.x.double(), network.initial_state(batch.sequences)).outputs
        meter.update(rows(outputs), target_rows(batch.target.double(), batch.steps, per_step=True))
    return meter.compute()[dataset.task.metric.name]


def largest_difference(dataset: Dataset, units: int, epochs: int, with_H: bool = True) -> float:
    """Return the largest difference between the curves of OSTL and of BPTT."""
    ours, exact = (curve(rule, dataset, units, epochs) for rule in (OSTL(with_H=with_H), BPTT()))
    return max(abs(a - b) for a, b in zip(ours, exact, strict=True))
