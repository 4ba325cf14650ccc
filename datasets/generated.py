"""Datasets that are drawn, not read: training sequences fresh each time, held-out ones always the same."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.batch import Batch
from throughtime.numerics.trees import Tree, mapped

# Large and odd, so that no one who counts seeds 0, 1, 2, ... for training draws the test set by accident.
SEEDS: dict[Split, int] = {"train": 3_021_937_827, "validation": 3_021_938_161, "test": 3_021_938_495}


class Generated(Dataset):
    """Base of the tasks that are made of random numbers. A subclass says how in `draw`.

    Training sequences are drawn fresh, batch by batch, from the generator given (without one: the same each time). The
    validation and the test sequences are fixed, each by a seed of its own. There are no raw data, so no SHA-256.

    Args:
        sequences: training sequences an epoch.
        held_out: sequences of validation, and as many of test.
    """

    licence = "none needed: generated"
    origin = "generated"

    def __init__(self, sequences: int, held_out: int) -> None:
        self.sequences, self.held_out = sequences, held_out

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> tuple[Tree, Tree]:
        """Return x [steps, n, inputs], which may be as compact as bool, and the target as a `Batch` has it."""

    def size(self, split: Split) -> int:
        return self.sequences if split == "train" else self.held_out

    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        fixed = torch.Generator().manual_seed(SEEDS[split])
        if split == "train":
            for start in range(0, self.sequences, batch):
                yield _in_float32(self._drawn(min(batch, self.sequences - start), generator or fixed))
            return
        # Drawn whole, so that the sequences do not depend on the size of a batch.
        whole = self._drawn(self.held_out, fixed)
        order = torch.arange(self.held_out)
        if generator is not None:
            order = torch.randperm(self.held_out, generator=generator)
        for chosen in order.split(batch):
            yield _in_float32(whole.select(chosen))

    def sha256(self) -> str | None:
        return None

    def _drawn(self, n: int, generator: torch.Generator) -> Batch:
        """Draw n sequences, with inputs as compact as `draw` returns them."""
        return Batch(*self.draw(n, generator), self.task.per_step)


def _in_float32(batch: Batch) -> Batch:
    """Return the batch as it is learnt; the caller keeps no reference to the compact inputs."""
    return batch._replace(x=mapped(Tensor.float, batch.x))
