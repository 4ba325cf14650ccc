"""Datasets that are held in memory: batches by index, and splits in which every class keeps its share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.batch import Batch

BLOCK = 2**20
"""Numbers of a batch that are written at a time, in float32 about what the cache of a processor's core holds."""


class Arrays(NamedTuple):
    """A whole dataset: all sequences, and which of them make up each split."""

    x: Tensor
    """[sequences, steps, inputs], as compact as the data allow (uint8 for pixels), or what `expanded` makes that of."""
    target: Tensor
    """[sequences] of whole numbers or [sequences, outputs] float32; [sequences, steps] or [sequences, steps, outputs]
    where there is one a step."""
    splits: Mapping[Split, Tensor]
    """Positions of a split's sequences in `x`, int64, in the order of the split."""
    sha256: str | None
    """SHA-256 of the raw data, in an order that the dataset's docstring states."""


class ArrayDataset(Dataset):
    """Base of the datasets that fit into memory. A subclass says what `load` returns, and its shapes and task.

    `x` is stored one sequence after the other, and turned to time-major and to float32 a batch at a time. Stored
    time-major it would cost 25 times as much: a batch in random order then reads one number here and there from each
    step instead of whole sequences (784 steps, 128 sequences: 1.6 ms against 0.06 ms).
    """

    unit: ClassVar[float] = 1.0
    """A batch holds `Arrays.x / unit`: 255 for pixels of 8 bits."""

    limit: Mapping[Split, int | None] = MappingProxyType({})
    """Use only the first so many sequences of a split; no entry or None: all of them."""

    @abstractmethod
    def load(self) -> Arrays:
        """Read or make the data; called once, at the first use."""

    @cached_property
    def arrays(self) -> Arrays:
        """The data, with every split cut to its limit."""
        loaded = self.load()
        return loaded._replace(splits={s: i[: self.limit.get(s)] for s, i in loaded.splits.items()})

    def size(self, split: Split) -> int:
        return len(self.arrays.splits[split])

    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        _, target, splits, _ = self.arrays
        per_step = self.task.per_step
        order = splits[split]
        if generator is not None:
            order = order[torch.randperm(len(order), generator=generator)]
        for chosen in order.split(batch):
            rows = target.index_select(0, chosen)
            if per_step:
                rows = rows.transpose(0, 1).contiguous()
            yield Batch(self._time_major(chosen), rows if rows.is_floating_point() else rows.long(), per_step)

    def _time_major(self, chosen: Tensor) -> Tensor:
        """Sequences as a batch has them, [steps, chosen, inputs] float32.

        A few at a time, so that what is gathered of them is still in the processor's cache when it is converted. In
        memory of its own, one block a step; where `expanded` repeats one step as a view, so does the batch.
        """
        x = self.arrays.x
        one = self.expanded(x[:1])
        _, shown, inputs = one.shape
        steps = 1 if one.stride(1) == 0 else shown
        out, few = torch.empty(steps, len(chosen), inputs), max(1, BLOCK // (steps * inputs))
        for start in range(0, len(chosen), few):
            some = slice(start, start + few)
            out[:, some] = self.expanded(x.index_select(0, chosen[some]))[:, :steps].transpose(0, 1)
            if self.unit != 1:
                out[:, some].div_(self.unit)
        return out.expand(shown, -1, -1)

    def expanded(self, rows: Tensor) -> Tensor:
        """Turn what is stored of some sequences into [sequences, steps, inputs]; may be a view of `rows`."""
        return rows

    def sha256(self) -> str | None:
        return self.arrays.sha256


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a random order of the samples in which every stretch has each class in its share of the whole.

    Splits are cut from it one after the other, and the first N of a split are again a fair sample: a class with share
    p has within 2 of p N members in any stretch of N.

    Args:
        labels: [samples], the class of each sample.
        seed: of a `RandomState`, whose stream NumPy promises to keep for ever; a `Generator`'s may change.

    Returns:
        [samples] int64, a permutation of the positions.
    """
    random = np.random.RandomState(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        # The i-th of the n members of a class falls at random into the i-th of n equal intervals of (0, 1).
        place[members] = (np.arange(len(members)) + random.random_sample(len(members))) / len(members)
    return np.argsort(place, kind="stable")
