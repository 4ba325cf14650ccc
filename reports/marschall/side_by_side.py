"""Gradients of several rules at the same time on the same network, while one of them trains it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Task
from throughtime.errors import UsageError
from throughtime.harness.seeds import stream
from throughtime.harness.weights import load_network
from throughtime.networks.base import Network
from throughtime.records.results import Results
from throughtime.registry import ALGORITHMS, DATASETS

LEADER = "rtrl"
STEPS, FORGOTTEN = 1100, 100
"""Steps of the comparison, and the first of them that do not count: all rules start without a trace."""


class Follower(NamedTuple):
    """A started rule, and the gradients of its last update by parameter; None for a parameter without one."""

    rule: LearningRule
    gradients: dict[str, Tensor]


def cosines(
    rules: dict[str, LearningRule], network: Network, task: Task, batch: Batch, rate: float, forgotten: int = 0
) -> pd.DataFrame:
    """Train a network with one rule, and compare the gradients of all of them at each step.

    Each rule learns the whole sequence, with an update at every step. Only the leader's gradient moves the weights:
    W ← W − rate · gradient. All others see the weights that it left, and keep their own states and traces.

    Args:
        rules: new rules by label, the leader first.
        network: the network, which is trained.
        task: task of the batch.
        batch: one sequence.
        rate: learning rate.
        forgotten: number of first steps that do not count.

    Returns:
        A row for each ordered pair of rules: columns `rule`, `other`, and mean and standard deviation over the steps
        (`mean`, `sd`) of the cosine between their gradients of all parameters but the readout's.
    """
    followers = {label: _started(rule, network, task, batch) for label, rule in rules.items()}
    leader = next(iter(followers.values()))
    readouts = {id(p) for readout in network.readouts for p in readout.parameters()}
    hidden = [name for name, p in network.named_parameters() if p.requires_grad and id(p) not in readouts]
    pairs: dict[tuple[str, str], list[float]] = {pair: [] for pair in product(rules, rules)}
    for t in range(batch.steps):
        for follower in followers.values():
            follower.rule.learn(*batch.window(t, 1)[:2], t)
        each = {
            label: torch.cat([f.gradients[name].flatten() for name in hidden]).double()
            for label, f in followers.items()
        }
        if t >= forgotten:
            for (one, other), seen in pairs.items():
                seen.append(float(torch.cosine_similarity(each[one], each[other], 0)))
        with torch.no_grad():
            for name, p in network.named_parameters():
                if name in leader.gradients:
                    p.sub_(leader.gradients[name], alpha=rate)
    for follower in followers.values():
        follower.rule.end()
    rows = [
        {"rule": one, "other": other, "mean": torch.tensor(seen).mean().item(), "sd": torch.tensor(seen).std().item()}
        for (one, other), seen in pairs.items()
    ]
    return pd.DataFrame(rows)


def _started(rule: LearningRule, network: Network, task: Task, batch: Batch) -> Follower:
    follower = Follower(rule, {})
    rule.start(network, task, batch.steps)
    rule.begin(batch.sequences, _collecting(network, follower.gradients))
    return follower


def _collecting(network: Network, gradients: dict[str, Tensor]) -> Callable[[], None]:
    """Return an update that only moves the gradients of the network to a dictionary."""

    def update() -> None:
        for name, p in network.named_parameters():
            if p.requires_grad:
                gradients[name] = torch.zeros_like(p) if p.grad is None else p.grad.clone()
                p.grad = None

    return update


def along_rtrl(results: Results, dataset: str, scale: str) -> pd.DataFrame | None:
    """Return the cosines of the suite's rules from the weights at the end of RTRL's first run on, while RTRL goes on to
    train; None if this run, or its weights, are missing. Time: about 5 ms a step."""
    runs = results.select("marschall", scale).frame
    runs = runs[(runs["dataset"] == dataset) & (runs["network"] == "online_rnn") & (runs["status"] == "ok")]
    runs = runs[runs["replicate"] == 0]
    leader = list(runs.loc[runs["rule"] == LEADER, "id"])
    others = tuple(runs.loc[runs["rule"] != LEADER, "id"])
    if not leader or not others:
        return None
    try:
        return _of_runs(results, leader[0], others)
    except UsageError:
        return None


@cache
def _of_runs(results: Results, leader: str, others: tuple[str, ...]) -> pd.DataFrame:
    network, spec = load_network(results, leader), results.record(leader).spec
    dataset = DATASETS[spec.dataset.name].factory(**{**spec.dataset.options, "steps": STEPS, "sequences": 1})
    (batch,) = dataset.batches("train", 1, torch.Generator().manual_seed(stream(spec.seed, "alignment", 0)))
    specs = [spec, *(results.record(run).spec for run in others)]
    rules = {s.rule.label: ALGORITHMS[s.rule.name].factory(**s.rule.options) for s in specs}
    # The rate is that of a sequence of the run, whose gradients are divided by the number of its steps.
    rate = spec.training.learning_rate * STEPS / spec.dataset.options["steps"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(spec.seed, "noise", 0))
        return cosines(rules, network, dataset.task, batch, rate, FORGOTTEN)
