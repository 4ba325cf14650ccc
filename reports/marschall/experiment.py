"""Gradients of several rules at the same time on the same network, while one of them trains it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Task
from throughtime.harness.build import build_network
from throughtime.harness.seeds import stream
from throughtime.networks.base import Network
from throughtime.registry import ALGORITHMS, DATASETS
from throughtime.suites.suite import load_suite

LEADER = "rtrl"
ALONE, STEPS, FORGOTTEN = 2000, 300, 100
"""Steps of RTRL before the comparison, steps of the comparison, and the first of them that do not count: the other
rules start without a trace."""
REPLICATES = 3


class Follower(NamedTuple):
    """A started rule, and the gradients of its last update by parameter; 0 for a parameter without one."""

    rule: LearningRule
    gradients: dict[str, Tensor]


def cosines(
    rules: dict[str, LearningRule],
    network: Network,
    task: Task,
    batch: Batch,
    rate: float,
    alone: int = 0,
    forgotten: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Train a network with one rule, and compare the gradients of all of them at each step.

    Each rule learns with an update at every step. Only the leader's gradient moves the weights:
    W ← W − rate · gradient. All others see the weights that it left, and have states and traces of their own.

    Args:
        rules: new rules by label, the leader first.
        network: the network, which is trained.
        task: task of the batch.
        batch: one sequence.
        rate: learning rate.
        alone: number of steps that the leader learns before the others start, from a state of 0.
        forgotten: number of steps after these that do not count.
        seed: of the random numbers of each rule, so that its feedback weights do not depend on the other rules.

    Returns:
        A row for each ordered pair of rules: columns `rule`, `other`, and mean and standard deviation over the steps
        (`mean`, `sd`) of the cosine between their gradients of all parameters but the readout's.
    """
    first, *others = rules
    leader = _started(rules[first], network, task, batch, seed)
    for t in range(alone):
        leader.rule.learn(*batch.window(t, 1)[:2], t)
        _descend(network, leader.gradients, rate)
    followers = {first: leader} | {label: _started(rules[label], network, task, batch, seed) for label in others}
    readouts = {id(p) for readout in network.readouts for p in readout.parameters()}
    hidden = [name for name, p in network.named_parameters() if p.requires_grad and id(p) not in readouts]
    seen: list[Tensor] = []
    for t in range(alone, batch.steps):
        for follower in followers.values():
            follower.rule.learn(*batch.window(t, 1)[:2], t)
        if t >= alone + forgotten:
            gradients = (torch.cat([f.gradients[name].flatten() for name in hidden]) for f in followers.values())
            directions = F.normalize(torch.stack([*gradients]).double(), dim=1)
            seen.append(directions @ directions.t())
        _descend(network, leader.gradients, rate)
    for follower in followers.values():
        follower.rule.end()
    pairs, counted = pd.MultiIndex.from_product((rules, rules), names=("rule", "other")), torch.stack(seen)
    values = {"mean": counted.mean(0).flatten(), "sd": counted.std(0).flatten()}
    return pd.DataFrame({name: value.numpy() for name, value in values.items()}, index=pairs).reset_index()


@torch.no_grad()
def _descend(network: Network, gradients: dict[str, Tensor], rate: float) -> None:
    for name, p in network.named_parameters():
        if name in gradients:
            p.sub_(gradients[name], alpha=rate)


def _started(rule: LearningRule, network: Network, task: Task, batch: Batch, seed: int) -> Follower:
    follower = Follower(rule, {})
    torch.manual_seed(seed)
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


@cache
def along_rtrl(dataset: str, replicates: int = REPLICATES, alone: int = ALONE, steps: int = STEPS) -> pd.DataFrame:
    """Return the cosines of the rules of the suite `marschall` on one of its tasks, while RTRL trains the network.

    Networks, rules and feedback weights are those of the suite's runs at scale laptop. Nothing is read from records.
    Time: 2 ms for each step of RTRL alone, 8 ms for each of the comparison, for each replicate.

    Returns:
        The table of `cosines`, with the column `replicate`.
    """
    specs = [s for s in load_suite("marschall").expand("laptop") if s.dataset.label == dataset]
    tables = []
    for replicate in range(replicates):
        run_specs = {s.rule.label: s for s in specs if s.replicate == replicate and s.network.label == "online_rnn"}
        spec = run_specs[LEADER]
        task = DATASETS[spec.dataset.name].factory(**{**spec.dataset.options, "steps": alone + steps, "sequences": 1})
        order = torch.Generator().manual_seed(stream(spec.seed, "alignment", replicate))
        (batch,) = task.batches("train", 1, order)
        rules = {label: ALGORITHMS[s.rule.name].factory(**s.rule.options) for label, s in run_specs.items()}
        # The rate is that of a sequence of the run, whose gradients are divided by the number of its steps.
        rate = spec.training.learning_rate * batch.steps / spec.dataset.options["steps"]
        seed = stream(spec.seed, "noise", replicate)
        with torch.random.fork_rng(devices=[]):
            network = build_network(spec, task.inputs, task.outputs)
            table = cosines(rules, network, task.task, batch, rate, alone, FORGOTTEN, seed)
        tables.append(table.assign(replicate=replicate))
    return pd.concat(tables, ignore_index=True)
