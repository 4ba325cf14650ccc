"""Training on one batch, window by window, and evaluation of a split; training and measuring passes share both.

The harness owns data, windows, optimiser and clock; the rule owns credit assignment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import accumulate
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.batch import Batch, target_rows
from throughtime.errors import DivergedError, refuse_unknown
from throughtime.harness.build import Built
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.harness.updater import Updater
from throughtime.networks.base import Network, Window
from throughtime.numerics.trees import Tree, joined, nbytes, tensors
from throughtime.spec import RunSpec

EVALUATION_WINDOW = 100
"""Number of steps unrolled at once without a gradient, so that the memory of evaluation does not grow with T."""
EVALUATION_BYTES = 2**28
"""Largest memory for the states of the steps unrolled at once; one step may take more."""


class Evaluation(NamedTuple):
    """Metrics and firing rate over one split."""

    metrics: dict[str, float]
    """Metrics of the task by name, beginning with the headline metric."""
    firing_rate: float | None
    """Spikes per neuron and step, over all layers; None for cells that do not spike, and for a network that returns no
    spikes of its layers."""
    right: tuple[bool, ...] | None = None
    """Whether each sequence is right, in the order of the split; None where the task has no such outcome."""


def finite(value: float | None) -> float | None:
    """Return a finite value, or None in place of NaN and infinities, which JSON lacks."""
    return value if value is not None and math.isfinite(value) else None


def started(spec: RunSpec, built: Built, steps: int, clock: Clock) -> Updater:
    """Start the rule for sequences of `steps`; return the updater of the network's and the rule's own parameters.

    Later random numbers (initial states, feedback weights) come from the `noise` stream of the replicate.
    """
    dataset, network, rule = built
    torch.manual_seed(stream(spec.seed, "noise", spec.replicate))
    rule.start(network, dataset.task, steps)
    trainable = [p for p in network.parameters() if p.requires_grad]
    return Updater([*trainable, *rule.parameters()], spec.training, clock)


def learn_batch(
    rule: LearningRule,
    batch: Batch,
    update: Callable[[], None],
    deliver: Callable[[Batch], Batch] = lambda window: window,
    windows: Iterable[range] | None = None,
) -> Tensor:
    """Train on one batch of sequences with a started rule, window by window; return the mean of its losses.

    Args:
        rule: a started rule.
        batch: the sequences.
        update: the function that the rule calls to update.
        deliver: maps a window of the batch to the input of the rule: the window, or a copy where input is streamed.
        windows: steps of each window that the rule learns; None: those of `rule.windows`.

    Raises:
        ValueError: the rule returned no loss in the whole sequence; or the batch has a target per sequence and the
            task one per step, or the other way round.
    """
    if batch.per_step != rule.task.per_step:
        kinds = ("per sequence", "per step")
        raise ValueError(f"the batch has a target {kinds[batch.per_step]}, the task one {kinds[rule.task.per_step]}")
    rule.begin(batch.sequences, update)
    total = tensors(batch.x)[0].new_zeros(())  # a sum, because a list would grow with T
    count = 0
    for steps in window_steps(rule, batch.steps) if windows is None else windows:
        loss = rule.learn(*deliver(batch.window(steps.start, len(steps)))[:2], steps.start)
        if loss is not None:
            total += loss
            count += 1
    rule.end()
    if not count:
        raise ValueError("the rule returned no loss in a whole sequence")
    return total / count


def window_steps(rule: LearningRule, steps: int) -> list[range]:
    """Return the steps of each window of a sequence of `steps`."""
    lengths = rule.windows(steps)
    return [range(end - k, end) for k, end in zip(lengths, accumulate(lengths), strict=True)]


def cuda_devices(network: nn.Module) -> list[int]:
    """Return the indices of the CUDA devices of a network, whose random numbers training uses."""
    return sorted({parameter.device.index for parameter in network.parameters() if parameter.is_cuda})


def evaluate(network: Network, dataset: Dataset, split: Split, seed: int = 0) -> Evaluation:
    """Compute the task's metrics and the mean firing rate over a whole split. The metrics use the output after the last
    step or, where the task is `per_step`, the outputs at all labelled steps.

    Random initial states come from `seed`, and the caller's random state is unchanged, so that equal weights have equal
    metrics. The network is evaluated in eval mode, and its mode is restored.

    Raises:
        UsageError: there is no such split.
        DivergedError: an output is not finite, so that no class can be read from it.
        ValueError: the meter computes other metrics than the task names.

    Example:
        >>> dataset = tt.build_dataset("delayed_xor")
        >>> network = tt.build_network("recurrent", dataset.inputs, dataset.outputs)
        >>> result = tt.evaluate(network, dataset, "test")
        >>> list(result.metrics)
        ['accuracy']
    """
    refuse_unknown("split", split, get_args(Split))
    task = dataset.task
    meter, spikes, neuron_steps = task.meter(), 0.0, 0
    right: list[bool] = []
    with evaluating(network):
        torch.manual_seed(seed)
        for batch in dataset.batches(split, dataset.evaluation_batch):
            counted: list[Tree] = []  # outputs of the windows so far; small beside the input, which is whole
            for _, window, ends in unrolled(network, batch):
                spikes += sum(float(z.sum()) for z in window.spikes)
                neuron_steps += sum(z.numel() for z in window.spikes)
                if task.per_step:
                    counted.append(window.steps())
                elif ends:
                    counted.append(window.last())
            outputs = joined(counted)
            if not all(y.isfinite().all() for y in tensors(outputs)):
                raise DivergedError(f"an output on the {split} split is not finite")
            target = target_rows(batch.target, batch.steps, True) if task.per_step else batch.target
            meter.update(outputs, target)
            if (outcomes := task.right(outputs, target)) is not None:
                right += outcomes.tolist()
    metrics, names = meter.compute(), [metric.name for metric in task.metrics]
    if set(metrics) != set(names):
        raise ValueError(f"the meter computes {', '.join(metrics)}; the task names {', '.join(names)}")
    rate = spikes / neuron_steps if network.spiking and neuron_steps else None
    return Evaluation({name: metrics[name] for name in names}, rate, tuple(right) or None)


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Run the block in eval mode and without gradients; the modes of all modules and the random state are restored."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=cuda_devices(network)):
            yield
    finally:
        for module, training in modes:
            module.training = training


def evaluation_window(state: Tree) -> int:
    """Return the number of steps to unroll at once without a gradient, from a state of the network. A window holds the
    spikes and the currents of its steps, which are about as large as their states."""
    return max(1, min(EVALUATION_WINDOW, EVALUATION_BYTES // max(1, nbytes(state))))


def unrolled(
    network: Network, batch: Batch, around: AbstractContextManager[object] | None = None
) -> Iterator[tuple[Batch, Window, bool]]:
    """Yield each window of a batch, the network's result for it, and whether it is the last window.

    Args:
        network: in eval mode.
        batch: the sequences.
        around: context of the network's computation of each window.
    """
    state = network.initial_state(batch.sequences)
    steps = evaluation_window(state)
    for t in range(0, batch.steps, steps):
        part = batch.window(t, steps)
        with around or nullcontext():
            window = network.unroll(part.x, state)
        state = window.state
        yield part, window, t + steps >= batch.steps
