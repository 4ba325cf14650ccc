"""What training and measuring share: a batch learnt window by window, a split evaluated.

The harness owns the data, the windows, the optimiser and the clock; the rule owns the credit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.base import Batch, Dataset, Split
from throughtime.errors import DivergedError
from throughtime.harness.build import Built
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.harness.updater import Updater
from throughtime.networks.base import Network
from throughtime.spec import RunSpec

EVALUATION_BATCH = 256
EVALUATION_WINDOW = 100
"""Steps unrolled at once when no gradient is needed: bounds the memory of evaluation whatever T is."""


class Evaluation(NamedTuple):
    """Means over one split."""

    metric: float
    firing_rate: float | None
    """Spikes per neuron and step, over all layers; None where nothing spikes."""


def finite(value: float | None) -> float | None:
    """The value if it is one, else None, as JSON has it."""
    return value if value is not None and math.isfinite(value) else None


def started(spec: RunSpec, built: Built, steps: int, clock: Clock) -> Updater:
    """Make the rule ready for sequences of `steps`; return what it updates with: the network and what it learns itself.

    What is drawn from here on (initial states, feedback weights) comes from the `noise` stream of the replicate.
    """
    dataset, network, rule = built
    torch.manual_seed(stream(spec.seed, "noise", spec.replicate))
    rule.start(network, dataset.task, steps)
    trainable = [p for p in network.parameters() if p.requires_grad]
    return Updater([*trainable, *rule.parameters()], spec.training, clock)


def learn_batch(
    rule: LearningRule, batch: Batch, update: Callable[[], None], hand: Callable[[Tensor], Tensor] = lambda x: x
) -> Tensor:
    """Let a started rule see one batch of sequences, window by window; return its mean loss.

    Args:
        hand: what the rule gets of a window of the batch: the window itself, or a copy where input is streamed.
    """
    steps = len(batch.x)
    rule.begin(batch.x.shape[1], update)
    total, count, t = batch.x.new_zeros(()), 0, 0  # a running sum: a list would grow with T, through no fault of a rule
    for window in rule.windows(steps):
        x, target = batch.window(t, window, rule.task.per_step)
        loss = rule.learn(hand(x), target, t).loss
        t += window
        if loss is not None:
            total += loss
            count += 1
    rule.end()
    if not count:
        raise ValueError("the rule minimised nothing in a whole sequence")
    return total / count


def cuda_devices(network: nn.Module) -> list[int]:
    """The CUDA devices that a network lies on, whose random numbers a training uses."""
    return sorted({parameter.device.index for parameter in network.parameters() if parameter.is_cuda})


@torch.no_grad()
def evaluate(network: Network, dataset: Dataset, split: Split, seed: int = 0) -> Evaluation:
    """Metric and mean firing rate over a whole split: of the output after the last step or, where the task asks at
    every step, over all steps that ask something.

    Random initial states are drawn from `seed`, and the caller's random numbers left as they were: the same weights
    have the same metric at any time.

    Raises:
        DivergedError: an output is no finite number; the class it would be counted as means nothing.
    """
    network.eval()
    task = dataset.task
    score = asked = spikes = neuron_steps = 0.0
    with torch.random.fork_rng(devices=cuda_devices(network)):
        torch.manual_seed(seed)
        for batch in dataset.batches(split, EVALUATION_BATCH):
            steps = len(batch.x)
            state = network.initial_state(batch.x.shape[1])
            for t in range(0, steps, EVALUATION_WINDOW):
                x, target = batch.window(t, EVALUATION_WINDOW, task.per_step)
                window = network.unroll(x, state)
                state = window.state
                spikes += sum(float(z.sum()) for z in window.spikes)
                neuron_steps += sum(z.numel() for z in window.spikes)
                if not task.per_step and t + len(x) < steps:
                    continue
                y = window.outputs.flatten(0, 1) if task.per_step else window.outputs[-1]
                if not y.isfinite().all():
                    raise DivergedError(f"an output on the {split} split is not finite")
                target = target.flatten(0, 1) if task.per_step else target
                rows = task.asked(target)
                score += float(task.score(y[rows], target[rows]).sum())
                asked += int(rows.sum())
    network.train()
    return Evaluation(score / asked, spikes / neuron_steps if network.spiking else None)
