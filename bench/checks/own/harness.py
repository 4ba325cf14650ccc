"""Facts of the harness: updates, the loss of a batch, streams of random numbers; `protocol.py` has the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.by_hand import Reports
from throughtime.checks.own.protocol import facts as facts_of_protocol
from throughtime.checks.tiny import error, largest, sequence
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Classification
from throughtime.harness.batches import learn_batch
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.harness.updater import Updater
from throughtime.networks.base import Network
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.rnn import RNN
from throughtime.numerics.flat import flatten
from throughtime.numerics.loops import without_compiled_loops
from throughtime.registry import Component
from throughtime.spec import OptimiserName, Training

UPDATES, RATE = 7, 0.01
TORCHS: dict[OptimiserName, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "sgd": torch.optim.SGD,
}
"""PyTorch's optimisers, with no options but learning rate, weight decay and, for SGD, momentum."""


def weights(flat: bool) -> list[nn.Parameter]:
    """Return three parameters in float64, in one block of memory or each in its own."""
    generator = torch.Generator().manual_seed(3)
    shapes = ((4, 3), (4,), (2, 4))
    drawn = [nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator)) for shape in shapes]
    if flat:
        flatten(drawn)
    return drawn


def gradients(size: float) -> Iterator[list[Tensor]]:
    """Yield gradients of a few updates, about `size` large; one parameter's are 100 times smaller than the others'."""
    generator = torch.Generator().manual_seed(4)
    for _ in range(UPDATES):
        drawn = [size * torch.randn(p.shape, dtype=torch.float64, generator=generator) for p in weights(False)]
        drawn[1] /= 100
        yield drawn


def updates_are_torchs(component: Component) -> Observed:
    """Return the error of a few updates against `clip_grad_norm_` and `torch.optim`, for gradients above and below the
    largest norm and without clipping, by compiled loops and by tensor operations."""
    errors = []
    settings = ((None, 1.0, 0.0), (1.0, 10.0, 0.1), (1.0, 1e-3, 0.0))
    optimisers: list[dict[str, Any]] = [{"optimiser": name} for name in TORCHS]
    optimisers += [{"optimiser": "sgd", "momentum": 0.9, "nesterov": nesterov} for nesterov in (False, True)]
    for chosen, (clip, size, decay), flat in itertools.product(optimisers, settings, (True, False)):
        training = Training(**chosen, learning_rate=RATE, weight_decay=decay, clip=clip)
        name = ", ".join(f"{key} {value}" for key, value in chosen.items())
        case = f"{name}, clip {clip}, weight decay {decay}, gradients of {size:g}{', flat' * flat}"
        errors.append((case, error_of_updates(training, size, flat)))
        with without_compiled_loops():
            errors.append((f"{case}, tensor operations", error_of_updates(training, size, flat)))
    return worst(errors, "no optimiser")


def error_of_updates(training: Training, size: float, flat: bool) -> float:
    """Return the largest error of the weights after each update; infinity if an update leaves a gradient."""
    ours, theirs = weights(flat), weights(False)
    update = Updater(ours, training, Clock())
    options = {"momentum": training.momentum, "nesterov": training.nesterov} if training.momentum else {}
    optimiser = TORCHS[training.optimiser](theirs, lr=RATE, weight_decay=training.weight_decay, **options)
    errors = []
    for drawn in gradients(size):
        for p, q, g in zip(ours, theirs, drawn, strict=True):
            p.grad, q.grad = g.clone(), g.clone()
        if training.clip is not None:
            nn.utils.clip_grad_norm_(theirs, training.clip)
        update()
        optimiser.step()
        errors.append(math.inf if any(p.grad is not None for p in ours) else error([*ours], [*theirs]))
    return largest(errors)


def loss_of_a_batch(component: Component) -> Observed:
    """Return the error of the mean over windows that report a loss: 3 for 1, 2, 6, and 3.5 for 1, none, 6."""
    x, target = sequence(3)
    errors = []
    for losses, mean in (((1.0, 2.0, 6.0), 3.0), ((1.0, None, 6.0), 3.5)):
        rule = Reports(*losses)
        rule.start(network(), Classification(4), len(x))
        errors.append((f"losses {losses}", abs(float(learn_batch(rule, Batch(x, target), lambda: None)) - mean)))
    return worst(errors, "no losses")


def network() -> Network:
    return Recurrent(3, 4, RNN, hidden=[2])


def streams_differ(component: Component) -> Observed:
    """Count triples (seed, purpose, replicate) that share a stream of random numbers with another."""
    purposes = ("weights", "data order", "noise", "evaluation")
    drawn = [stream(base, purpose, n) for base in (0, 1) for purpose in purposes for n in range(3)]
    return Observed(len(drawn) - len(set(drawn)), f"{len(drawn)} streams")


def facts(component: Component) -> tuple[Fact, ...]:
    """Return the facts of the harness."""
    return (
        Fact("updates = torch's clip_grad_norm_ and optimisers", 1e-12, updates_are_torchs),
        Fact("the loss of a batch is the mean over its windows", 0, loss_of_a_batch),
        Fact("each purpose and replicate has its own random numbers", 0, streams_differ),
        *facts_of_protocol(),
    )
