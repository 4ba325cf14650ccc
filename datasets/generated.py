"""Generated datasets: new training sequences in each epoch, and fixed held-out sequences."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.batch import Batch
from throughtime.numerics.trees import Tree, mapped

# Large seeds, so that training with seeds 0, 1, 2, ... never draws the test set by accident.
SEEDS: dict[Split, int] = {"train": 3_021_937_827, "validation": 3_021_938_161, "test": 3_021_938_495}


class Generated(Dataset):
    """Base of the tasks that are generated from random numbers. A subclass implements `draw`.

    Training sequences are drawn batch by batch from the generator passed to `batches` (without a generator they are the
    same each time). Validation and test sequences are fixed, each by its own seed. There are no raw data and hence no
    SHA-256.

    Args:
        sequences: training sequences in an epoch.
        held_out: number of validation sequences, and of test sequences.
    """

    licence = "none needed: generated"
    origin = "generated"

    def __init__(self, sequences: int, held_out: int) -> None:
        self.sequences, self.held_out = sequences, held_out

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> tuple[Tree, Tree]:
        """Return x [steps, n, inputs], in a type as compact as bool, and the target as in `Batch`."""

    def size(self, split: Split) -> int:
        return self.sequences if split == "train" else self.held_out

    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        fixed = torch.Generator().manual_seed(SEEDS[split])
        if split == "train":
            for start in range(0, self.sequences, batch):
                yield _in_float32(self._drawn(min(batch, self.sequences - start), generator or fixed))
            return
        # All sequences are drawn at once, so that they do not depend on the batch size.
        whole = self._drawn(self.held_out, fixed)
        order = torch.arange(self.held_out)
        if generator is not None:
            order = torch.randperm(self.held_out, generator=generator)
        for chosen in order.split(batch):
            yield _in_float32(whole.select(chosen))

    def sha256(self) -> str | None:
        return None

    def _drawn(self, n: int, generator: torch.Generator) -> Batch:
        """Draw n sequences, with the compact inputs that `draw` returns."""
        return Batch(*self.draw(n, generator), self.task.per_step)


def _in_float32(batch: Batch) -> Batch:
    """Return the batch with inputs in float32; the caller keeps no reference to the compact inputs."""
    return batch._replace(x=mapped(Tensor.float, batch.x))
