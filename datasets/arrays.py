"""Datasets in memory: batches by index, and stratified splits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.batch import Batch

BLOCK = 2**20
"""Numbers of a batch that are written at a time; in float32 they fit about into the cache of a processor core."""


class Arrays(NamedTuple):
    """A whole dataset: all sequences, and the positions of the sequences of each split."""

    x: Tensor
    """[sequences, steps, inputs] in a compact type (uint8 for pixels), or rows that `expanded` turns into that."""
    target: Tensor
    """[sequences] integers or [sequences, outputs] float32; for one target per step [sequences, steps] or [sequences,
    steps, outputs]."""
    splits: Mapping[Split, Tensor]
    """For each split the positions of its sequences in `x`, int64, in the order of the split."""
    sha256: str | None
    """SHA-256 of the raw data, in the order that the docstring of the dataset states."""


class ArrayDataset(Dataset):
    """Base of the datasets that fit into memory. A subclass implements `load` and sets its shapes and task.

    `x` is stored sequence by sequence; each batch is converted to time-major order and float32. Storage in time-major
    order would take 25 times as long: a batch in random order would then read scattered numbers of each step instead of
    whole sequences (784 steps, 128 sequences: 1.6 ms against 0.06 ms).
    """

    unit: float = 1.0
    """A batch holds `Arrays.x / unit`: 255 for pixels of 8 bits."""

    limit: Mapping[Split, int | None] = MappingProxyType({})
    """Number of sequences of a split to use, from its start; no entry or None: all of them."""

    @abstractmethod
    def load(self) -> Arrays:
        """Read or create the data; called once, at the first use."""

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
        """Return the chosen sequences in the layout of a batch, [steps, chosen, inputs] float32.

        Only a few sequences are gathered at a time, so that they are still in the processor's cache when they are
        converted. The result has its own memory; where `expanded` repeats one step as a view, so does the result.
        """
        x = self.arrays.x
        sample = self.expanded(x[:1])
        _, shown, inputs = sample.shape
        steps = 1 if sample.stride(1) == 0 else shown
        out, few = torch.empty(steps, len(chosen), inputs), max(1, BLOCK // (steps * inputs))
        for start in range(0, len(chosen), few):
            some = slice(start, start + few)
            out[:, some] = self.expanded(x.index_select(0, chosen[some]))[:, :steps].transpose(0, 1)
            if self.unit != 1:
                out[:, some].div_(self.unit)
        return out.expand(shown, -1, -1)

    def expanded(self, rows: Tensor) -> Tensor:
        """Expand stored rows to [sequences, steps, inputs]; the result may be a view of `rows`."""
        return rows

    def sha256(self) -> str | None:
        return self.arrays.sha256


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a random order of the samples in which every contiguous part has the class frequencies of the whole.

    Consecutive parts of this order become the splits, and the first N samples of a split are again stratified: any N
    consecutive samples hold p N ± 2 members of a class with share p.

    Args:
        labels: [samples], the class of each sample.
        seed: seed of a `RandomState`, whose stream NumPy guarantees to keep; that of a `Generator` may change.

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
