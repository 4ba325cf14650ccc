"""The training loop: the harness owns the data, the windows, the optimiser and the clock; the rule owns the credit."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from throughtime.algorithms.base import LearningRule, Observation
from throughtime.alignment import alignment_in_training, curve_keys, measures
from throughtime.build import Built
from throughtime.clock import Clock
from throughtime.datasets.base import Batch, Dataset, Split
from throughtime.networks.base import Network
from throughtime.record import Measure
from throughtime.seeds import stream
from throughtime.spec import RunSpec, Training

EVALUATION_BATCH = 256
EVALUATION_WINDOW = 100
"""Steps unrolled at once when no gradient is needed: bounds the memory of evaluation whatever T is."""


TAKEN = {"epoch", "iteration", "updates", "sequences", "train_loss", "validation", "firing_rate", "seconds"} | {
    *("chance", "loss", "training_time", "energy"),
}
"""Names in curve and record that no rule may use for what it observes of itself."""


class DivergedError(Exception):
    """The loss is no longer a finite number."""


class Evaluation(NamedTuple):
    """Means over one split."""

    metric: float
    firing_rate: float | None
    """Spikes per neuron and step, over all layers; None where nothing spikes."""


class Trained(NamedTuple):
    """The outcome of a training run."""

    final: Evaluation
    """Test split, weights of the last epoch."""
    best: Evaluation
    """Test split, weights of the epoch that was best on the validation split."""
    best_epoch: int
    loss: float
    """Mean of the rule's losses over the last epoch."""
    observations: dict[str, Observation]
    """What the rule measured of itself over the last epoch."""
    aligned: dict[str, Measure]
    """The gradient's alignment to BPTT's, the last time it was measured; empty if never."""
    phases: dict[str, float]
    """Seconds: load, learn (without update), update, evaluate, align."""


class Updater:
    """What a rule calls to update: clip, optimiser step, gradients cleared. Counts updates, schedules the rate."""

    def __init__(self, parameters: Sequence[nn.Parameter], training: Training, clock: Clock) -> None:
        self.parameters = parameters
        self.clip, self.clock, self.count = training.clip, clock, 0
        lr = self.rate = training.learning_rate
        self.cosine_epochs = training.epochs if training.schedule == "cosine" else None
        self.optimiser: torch.optim.Optimizer = {
            "adam": lambda: torch.optim.Adam(self.parameters, lr=lr, fused=True),
            "adamax": lambda: torch.optim.Adamax(self.parameters, lr=lr, foreach=True),
            "sgd": lambda: torch.optim.SGD(self.parameters, lr=lr, foreach=True),
        }[training.optimiser]()

    def __call__(self) -> None:
        with self.clock.phase("update"):
            if self.clip is not None:
                nn.utils.clip_grad_norm_(self.parameters, self.clip, foreach=True)
            self.optimiser.step()
            self.optimiser.zero_grad()
            self.count += 1

    def end_epoch(self, epoch: int) -> None:
        """Set the learning rate of the next epoch; `epoch` counts those that are over."""
        if self.cosine_epochs:
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate * (1 + math.cos(math.pi * epoch / self.cosine_epochs)) / 2


def observed(rule: LearningRule, metric: str) -> dict[str, Observation]:
    """What the rule measured of itself in the epoch that is over.

    Raises:
        ValueError: it uses the name of something that is measured here.
    """
    seen = rule.end_epoch()
    if taken := sorted(name for name in seen if name in TAKEN or name.startswith(metric)):
        raise ValueError(f"the rule observes {', '.join(taken)}: the harness measures that itself")
    return seen


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
        loss = rule.learn(hand(batch.x[t : t + window]), batch.target, t).loss
        t += window
        if loss is not None:
            total += loss
            count += 1
    rule.end()
    if not count:
        raise ValueError("the rule minimised nothing in a whole sequence")
    return total / count


@torch.no_grad()
def evaluate(network: Network, dataset: Dataset, split: Split, seed: int = 0) -> Evaluation:
    """Metric of the output after the last step, and mean firing rate, over a whole split.

    Random initial states are drawn from `seed`, and the caller's random numbers left as they were: the same weights
    have the same metric at any time.

    Raises:
        DivergedError: an output is no finite number; the class it would be counted as means nothing.
    """
    network.eval()
    score = spikes = neuron_steps = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for x, target in dataset.batches(split, EVALUATION_BATCH):
            state = network.initial_state(x.shape[1])
            for part in x.split(EVALUATION_WINDOW):
                window = network.unroll(part, state)
                state = window.state
                spikes += sum(float(z.sum()) for z in window.spikes)
                neuron_steps += sum(z.numel() for z in window.spikes)
            if not window.outputs[-1].isfinite().all():
                raise DivergedError(f"an output on the {split} split is not finite")
            score += float(dataset.task.score(window.outputs[-1], target).sum())
    network.train()
    return Evaluation(score / dataset.size(split), spikes / neuron_steps if network.spiking else None)


def train(spec: RunSpec, built: Built, tell: Callable[[dict[str, float | None]], None]) -> Trained:
    """Train for the spec's epochs and test twice, with the weights best on validation and with the last, which stay.

    Args:
        tell: called after each epoch with a row of the learning curve.

    Raises:
        DivergedError: the loss became infinite or NaN; the message says where.
    """
    dataset, network, rule = built
    clock = Clock()
    update = started(spec, built, dataset.steps, clock)
    order = torch.Generator().manual_seed(stream(spec.seed, "data order", spec.replicate))
    sign = 1 if dataset.task.higher_is_better else -1
    best, best_epoch, best_weights = -math.inf, 0, copy.deepcopy(network.state_dict())
    iteration = sequences = 0
    seed = stream(spec.seed, "evaluation", spec.replicate)
    aligned: dict[str, Measure] = {}
    start = time.perf_counter()

    def end_of_epoch(epoch: int, loss: float | None, seen: dict[str, Observation]) -> Evaluation:
        """Evaluate on validation, compare gradients where asked to, and tell of it all in a row of the curve."""
        with clock.phase("evaluate"):
            validation = evaluate(network, dataset, "validation", seed)
        row = {
            "epoch": epoch,
            "iteration": iteration,
            "updates": update.count,
            "sequences": sequences,
            "train_loss": loss,
            "validation": validation.metric,
            "firing_rate": validation.firing_rate,
            **{name: finite(observation.value) for name, observation in seen.items()},
        }
        if epoch in spec.training.alignment:
            with clock.phase("align"):
                found = alignment_in_training(spec, built)
            row |= curve_keys(found)
            aligned.update(measures(found, epoch, min(spec.training.batch, dataset.size("validation"))))
        tell({**row, "seconds": time.perf_counter() - start})
        return validation

    if 0 in spec.training.alignment:
        end_of_epoch(0, None, {})
    for epoch in range(1, spec.training.epochs + 1):
        losses = []
        batches = dataset.batches("train", spec.training.batch, order)
        while True:
            with clock.phase("load"):
                batch = next(batches, None)
            if batch is None:
                break
            if network.mixes_samples and batch.x.shape[1] == 1:
                continue  # what is left of an epoch: one sample has no spread to be normalised by
            with clock.phase("learn"):
                losses.append(float(learn_batch(rule, batch, update)))
            iteration += 1
            sequences += batch.x.shape[1]
            if not math.isfinite(losses[-1]):
                raise DivergedError(f"loss is {losses[-1]} at epoch {epoch}, update {update.count}")
        observations = observed(rule, dataset.task.metric)
        update.end_epoch(epoch)
        loss = sum(losses) / len(losses)
        validation = end_of_epoch(epoch, loss, observations)
        if sign * validation.metric > best:
            best, best_epoch = sign * validation.metric, epoch
            best_weights = copy.deepcopy(network.state_dict())

    with clock.phase("evaluate"):
        last_weights = copy.deepcopy(network.state_dict())
        network.load_state_dict(best_weights)
        at_best = evaluate(network, dataset, "test", seed)
        network.load_state_dict(last_weights)
        final = evaluate(network, dataset, "test", seed)
    return Trained(final, at_best, best_epoch, loss, observations, aligned, dict(clock.phases))
