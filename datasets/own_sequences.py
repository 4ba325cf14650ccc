"""A user's own sequences, from files: padding to one length, labels, and splits."""

from __future__ import annotations

import math
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from throughtime.datasets.arrays import Arrays
from throughtime.datasets.base import Split, computed
from throughtime.datasets.files import fetch
from throughtime.datasets.files.remember import remembered
from throughtime.datasets.prepared import SPLITS, PreparedDataset, combined, held_out, save
from throughtime.datasets.task import Classification, Regression, Task
from throughtime.errors import UsageError

MOST_CLASSES = 100_000
"""Largest number of classes. A damaged label would otherwise determine the size of the readout."""
LAYOUT = "layout.npy"
LabelAt = Literal["last", "end"]
"""Step at which a label for a whole sequence counts: the sequence's own last step, or the end of the padding."""


class Sequences(NamedTuple):
    """The sequences of one file."""

    x: list[np.ndarray]
    """Arrays [steps, inputs], which may differ in length."""
    y: list[np.ndarray]
    """Target of each sequence: a class [] or a class per step [steps], integers; or numbers, [outputs] or
    [steps, outputs], in float32."""
    where: str
    """File or files, for messages."""
    layout: tuple[int, ...] | None = None
    """Shape of the inputs of a step as an image, (channels, rows, columns); None: they are none."""


class OwnSequences(PreparedDataset):
    """Base class of datasets whose files, and therefore shapes and task, are the user's.

    Shorter sequences are padded with zeros at the end, and padding has no label. A label for a whole sequence counts at
    the sequence's own last step, so that there is a target per step where lengths differ. Without a validation split a
    tenth of train becomes one, by a fixed seed, stratified where each sequence has a class. The SHA-256 is that of the
    lines `<SHA-256>  <name>` of the files.

    Args:
        path: path of the files.
        label_at: `last`: a label for a whole sequence counts at the sequence's own last step; `end`: after the padding,
            at the last step of the longest sequence; null: `last`.
    """

    licence = "the user's"
    origin = "files of the user's"

    def __init__(self, path: str, label_at: LabelAt | None) -> None:
        self.path, self.label_at = Path(path).expanduser(), label_at

    def parameters(self) -> Mapping[str, Any]:
        return {} if self.label_at is None else {"label_at": self.label_at}

    @abstractmethod
    def parts(self, paths: Sequence[Path]) -> dict[Split, Sequences]:
        """Read the splits train, test and, if it exists, validation."""

    def digest(self, paths: Sequence[Path]) -> str:
        notes, top = fetch.cache() / "digests", Path(os.path.commonpath([path.parent for path in paths]))

        def sha256(path: Path) -> str:
            return remembered([path], "sha256", lambda: fetch.file_digest(path, "sha256"), notes)

        return combined({path.relative_to(top).as_posix(): sha256(path) for path in paths})

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        parts = self.parts(paths)
        x = [sequence for split in SPLITS if split in parts for sequence in parts[split].x]
        y = [sequence for split in SPLITS if split in parts for sequence in parts[split].y]
        for part in parts.values():
            check(part, like=parts["train"])
        starts = np.cumsum([0, *(len(parts[split].x) for split in SPLITS if split in parts)])
        splits: dict[Split, np.ndarray] = {
            split: np.arange(start, stop)
            for split, start, stop in zip(
                [split for split in SPLITS if split in parts], starts[:-1], starts[1:], strict=True
            )
        }
        whole, steps = y[0].dtype.kind in "iu", max(map(len, x))
        per_step = y[0].ndim == (1 if whole else 2)
        if per_step and self.label_at:
            raise UsageError("y has a label a step: label_at would do nothing", where=parts["train"].where)
        lengths, no_label = np.array([len(sequence) for sequence in x]), -1 if whole else np.nan
        if per_step:
            target = padded(y, steps, no_label)
        elif self.label_at == "end" or (lengths == steps).all():
            target = np.array(y)
        else:
            target = np.full((len(y), steps, *y[0].shape), no_label, y[0].dtype)
            target[np.arange(len(y)), lengths - 1] = y
        if whole:
            _check_classes(target, {split: target[index] for split, index in splits.items()}, parts)
        elif np.isnan(target[splits["train"]]).all():
            raise UsageError("no label: all of y is NaN", where=parts["train"].where)
        if "validation" not in splits:
            train = splits["train"]
            labels = np.array(y)[train] if whole and not per_step else np.zeros(len(train), int)
            rest, held = held_out(labels, share=0.1, seed=10)
            splits |= {"train": train[rest], "validation": train[held]}
        save(folder, target, splits, padded(x, steps, 0))
        if parts["train"].layout is not None:
            np.save(folder / LAYOUT, np.array(parts["train"].layout))

    def ready(self, folder: Path, digest: str, in_memory: bool = False) -> Arrays:
        file = folder / LAYOUT
        self._layout = tuple(np.load(file).tolist()) if file.exists() else None
        return super().ready(folder, digest, in_memory)

    @computed
    def layout(self) -> tuple[int, ...] | None:
        return self._layout if self.arrays else None

    @computed
    def steps(self) -> int:
        return self.arrays.x.shape[1]

    @computed
    def inputs(self) -> int:
        return self.arrays.x.shape[2]

    @computed
    def task(self) -> Task:
        """Classification for integer targets, regression for others. Chance is the metric, on the training split, of
        always predicting the most frequent class, or the mean, of the training targets."""
        train = self.arrays.target[self.arrays.splits["train"]]
        per_step = train.ndim == (3 if train.is_floating_point() else 2)
        if not train.is_floating_point():
            count = torch.bincount(train[train >= 0].long())
            return Classification(self.outputs, per_step, chance=float(count.max() / count.sum()))
        train = train.flatten(0, -2)
        mean = torch.nanmean(train, 0)
        return Regression(chance=float(torch.nanmean((train - mean).square())), per_step=per_step)

    @computed
    def outputs(self) -> int:
        target = self.arrays.target
        return target.shape[-1] if target.is_floating_point() else int(target.max()) + 1


def check(part: Sequences, like: Sequences) -> None:
    """Raise UsageError unless all sequences have inputs and targets like those of `like`, with finite numbers."""
    if not part.x:
        raise UsageError("no sequence in it", where=part.where)
    if part.layout != like.layout:
        raise UsageError(f"images of {part.layout} where those of train are {like.layout}", where=part.where)
    if part.layout and not all(isinstance(n, int) and n > 0 for n in part.layout):
        raise UsageError(f"the layout {part.layout} is not three integers above 0", where=part.where)
    if part.layout and (len(part.layout) != 3 or math.prod(part.layout) != part.x[0].shape[-1]):
        what = f"the layout {part.layout} is not (channels, rows, columns) of {part.x[0].shape[-1]} inputs"
        raise UsageError(what, where=part.where)
    y = like.y[0]
    if y.ndim not in ((1, 2) if y.dtype.kind == "f" else (0, 1)):
        shape = f"[{', '.join(map(str, ('sequences', *y.shape)))}]"
        what = f"y is {y.dtype} {shape}: whole numbers are classes, [sequences] or [sequences, steps]"
        raise UsageError(what, like.where, "real numbers are [sequences, outputs] or [sequences, steps, outputs]")
    first = (like.x[0].shape[1:], like.y[0].shape[-1:] if like.y[0].dtype.kind == "f" else (), like.y[0].ndim)
    for i, (x, y) in enumerate(zip(part.x, part.y, strict=True)):
        where = f"{part.where}: sequence {i}"
        if x.ndim != 2 or not x.size:
            raise UsageError(f"x is {list(x.shape)}, where [steps, inputs] is expected", where=where)
        shapes = (x.shape[1:], y.shape[-1:] if y.dtype.kind == "f" else (), y.ndim)
        if shapes != first or y.dtype.kind != like.y[0].dtype.kind:
            raise UsageError(
                f"x {list(x.shape)} and y {list(y.shape)} {y.dtype} are not like the first of train", where
            )
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise UsageError(f"NaN or infinity in x at step {np.argwhere(~np.isfinite(x))[0, 0]}", where=where)
        if x.dtype.kind in "iu" and not -(2**31) <= int(x.min()) <= int(x.max()) < 2**31:
            raise UsageError("whole numbers in x that need more than 32 bits", where, "float32 holds them, rounded")
        if y.ndim == (2 if y.dtype.kind == "f" else 1) and len(y) != len(x):
            raise UsageError(f"{len(x)} steps, but {len(y)} targets", where=where)
        if y.ndim == 2 and len(some := np.flatnonzero(np.isnan(y).any(1) & ~np.isnan(y).all(1))):
            what = f"y has numbers and NaN at step {some[0]}"
            raise UsageError(what, where, "a step has all of its numbers, or no label")
        if y.ndim == (1 if y.dtype.kind == "f" else 0) and not (
            np.isfinite(y).all() and (y.dtype.kind == "f" or y >= 0)
        ):
            raise UsageError(f"target {y}", where=where)


def _check_classes(target: np.ndarray, by_split: Mapping[Split, np.ndarray], parts: Mapping[Split, Sequences]) -> None:
    """Raise UsageError if a class is negative, or above all classes of the training file, or there are too many."""
    if target.min() < -1:
        raise UsageError(
            f"class {target.min()}: they begin at 0, and -1 is where nothing is asked", parts["train"].where
        )
    known = by_split["train"].max()
    if known >= MOST_CLASSES:
        raise UsageError(f"class {known}: there are at most {MOST_CLASSES} classes", where=parts["train"].where)
    for split, labels in by_split.items():
        if labels.max() > known:
            what = f"class {labels.max()} in the {split} split, but train has none above {known}"
            raise UsageError(what, where=parts[split].where)
    if known < 1:
        raise UsageError("all of one class", where=parts["train"].where)


def padded(arrays: Sequence[np.ndarray], steps: int, value: float) -> np.ndarray:
    """Return arrays of different length, [steps, ...] each, as one, with a value after the end of each."""
    out = np.full((len(arrays), steps, *arrays[0].shape[1:]), value, np.result_type(*arrays))
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out
