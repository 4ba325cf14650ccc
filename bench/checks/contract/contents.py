"""Facts on the data of a dataset: classes, chance, scaling, and labels that one input gives away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from throughtime.checks.fact import DoesNotApplyError, Observed, UnknownError, worst
from throughtime.datasets.base import Split
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Classification, Regression, Task

Splits = Mapping[Split, Sequence[Batch]]
"""The batches of each split, in their order."""
ENOUGH = 10
"""Sequences of a split for each class, at which every class must occur."""
READ = 0.95
"""Accuracy at which a single input gives the labels away."""


def labels(batches: Sequence[Batch]) -> Tensor:
    """Return the labels of a classification, without steps that have none."""
    every = torch.cat([torch.as_tensor(batch.target).flatten() for batch in batches])
    return every[every >= 0]


def sequences(batches: Sequence[Batch]) -> int:
    return sum(batch.sequences for batch in batches)


def missing_classes(task: Task, splits: Splits) -> Observed:
    """Count the classes that are missing from splits with enough sequences.

    Raises:
        DoesNotApplyError: it is not a classification, or its splits are small.
    """
    if not isinstance(task, Classification):
        raise DoesNotApplyError("it has no classes")
    large = {name: batches for name, batches in splits.items() if sequences(batches) >= ENOUGH * task.classes}
    if not large:
        raise DoesNotApplyError(f"no split has {ENOUGH} sequences for each of {task.classes} classes")
    lacks = {name: task.classes - len(labels(batches).unique()) for name, batches in large.items()}
    missing = sum(lacks.values())
    return Observed(missing, ", ".join(f"{n} missing in {name}" if n else name for name, n in lacks.items()))


def off_chance(task: Task, splits: Splits) -> Observed:
    """Return the deviation of the stated chance from that of the most frequent class, or from the error of the mean
    target, on the test split, in standard errors of that many sequences.

    Raises:
        DoesNotApplyError: the task has another metric, or states no chance.
    """
    stated, test = getattr(getattr(task, "metric", None), "chance", None), splits["test"]
    if stated is None or not isinstance(task, Classification | Regression):
        raise DoesNotApplyError("no chance is stated that a constant prediction has")
    n = sequences(test)
    if isinstance(task, Classification):
        share = float(labels(test).bincount().max() / len(labels(test)))
        spread = max(share * (1 - share), stated * (1 - stated), 1 / n) ** 0.5
        return Observed(abs(share - stated) * n**0.5 / spread, f"stated {stated:.3g}, most frequent class {share:.3g}")
    rows = torch.cat([torch.as_tensor(batch.target).reshape(-1, batch.target.shape[-1]) for batch in test])
    rows = rows[~rows.isnan().any(1)]
    error = float((rows - rows.mean(0)).square().mean())
    return Observed(abs(error / stated - 1) * n**0.5 / 2, f"stated {stated:.3g}, error of the mean {error:.3g}")


def scaled_by_others(task: Task, splits: Splits) -> Observed:
    """Count the inputs that have mean 0 and variance 1 over several splits, but not over the training split: their
    scale was computed from data that must not be known."""
    inputs = {name: torch.cat([b.x.flatten(0, 1) for b in batches]).double() for name, batches in splits.items()}
    train = is_standard(inputs["train"])
    wider = torch.stack(
        [is_standard(torch.cat(parts)) for parts in ((inputs["train"], inputs["test"]), tuple(inputs.values()))]
    )
    return Observed(int((wider.any(0) & ~train).sum()), f"{int(train.sum())} of {len(train)} inputs are standardised")


def is_standard(x: Tensor) -> Tensor:
    """Return whether each column has mean 0 and variance 1."""
    return (x.mean(0).abs() < 1e-4) & ((x.var(0) - 1).abs() < 1e-4 + 2 / len(x))  # by n or n − 1


def gives_labels_away(task: Task, splits: Splits) -> Observed:
    """Return the best accuracy, on the test split, of linear maps from the first, mean and last value of one input.

    Raises:
        DoesNotApplyError: it has no class for each sequence, or few sequences.
        UnknownError: one input is enough.
    """
    if not isinstance(task, Classification) or task.per_step:
        raise DoesNotApplyError("it has no class for each sequence")
    (x, y), (x_test, y_test) = (read(splits[name]) for name in ("train", "test"))
    majority = np.max(np.bincount(y_test)) / len(y_test)
    if majority >= READ or len(y_test) < ENOUGH:
        raise DoesNotApplyError("its test split is too small or has one class")
    one_hot = np.eye(task.classes)[y]
    accuracies = []
    for train_inputs, test_inputs in zip(x, x_test, strict=True):
        W, *_ = np.linalg.lstsq(train_inputs, one_hot, rcond=None)
        accuracies.append(float(((test_inputs @ W).argmax(1) == y_test).mean()))
    value, note = worst(((f"input {k}", a) for k, a in enumerate(accuracies)), "no input")
    if value >= READ:
        raise UnknownError(f"{note}: it alone gives {100 * value:.0f} % of the labels, by a linear map")
    return Observed(value, note)


def read(batches: Sequence[Batch]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first, mean and last value of each input, and 1, [inputs, sequences, 4]; and the labels."""
    parts = [torch.stack([b.x[0], b.x.mean(0), b.x[-1], torch.ones_like(b.x[0])], -1) for b in batches]
    return torch.cat(parts).transpose(0, 1).double().numpy(), labels(batches).numpy()
