"""The batch on which the measuring passes train repeatedly: the first of the run's training data."""

from __future__ import annotations

from collections.abc import Callable

import torch

from throughtime.datasets.batch import Batch
from throughtime.errors import DivergedError
from throughtime.harness.batches import learn_batch
from throughtime.harness.build import Built
from throughtime.harness.seeds import stream
from throughtime.harness.updater import Updater
from throughtime.spec import RunSpec


def one_batch(spec: RunSpec, built: Built) -> Batch:
    """Return the first training batch of this replicate."""
    order = torch.Generator().manual_seed(stream(spec.seed, "data order", spec.replicate))
    return next(built.dataset.batches("train", spec.training.batch, order))


def learn_finite(
    built: Built, batch: Batch, update: Updater, deliver: Callable[[Batch], Batch] = lambda window: window
) -> None:
    """Call `learn_batch`; raise DivergedError if the loss is not finite, because its cost would mean nothing."""
    loss = learn_batch(built.rule, batch, update, deliver)
    if not torch.isfinite(loss):
        raise DivergedError(f"loss is {float(loss)} at update {update.count}")
