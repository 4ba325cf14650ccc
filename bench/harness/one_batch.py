"""What the measuring passes train on: the first batch of the run's training data, again and again."""

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
    """The first batch that training of this replicate would see."""
    order = torch.Generator().manual_seed(stream(spec.seed, "data order", spec.replicate))
    return next(built.dataset.batches("train", spec.training.batch, order))


def learn_finite(
    built: Built, batch: Batch, update: Updater, deliver: Callable[[Batch], Batch] = lambda window: window
) -> None:
    """Learn it as `learn_batch` does; DivergedError where the loss is no finite number: its cost would mean nothing."""
    loss = learn_batch(built.rule, batch, update, deliver)
    if not torch.isfinite(loss):
        raise DivergedError(f"loss is {float(loss)} at update {update.count}")
