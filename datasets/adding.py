"""The adding task: remember two marked numbers over a long sequence, and give their sum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from throughtime.datasets.base import Batch, Dataset, Split
from throughtime.datasets.task import Regression
from throughtime.registry import dataset

# Large and odd, so that no one who counts seeds 0, 1, 2, ... for training draws the test set by accident.
SEEDS: dict[Split, int] = {"train": 3_021_937_827, "validation": 3_021_938_161, "test": 3_021_938_495}


@dataset("adding")
class Adding(Dataset):
    """Sum of two marked numbers in a sequence of T random ones.

        x_t = (v_t, m_t)            v_t ~ U(0, 1);  m_t = 1 at two steps i < j, 0 elsewhere
        i ~ U{0 ... floor(T/2) - 1},   j ~ U{ceil(T/2) ... T - 1}
        y = v_i + v_j               target [batch, 1]

    One marker lies in each half; with odd T the step in the middle is never marked. Always answering the mean, 1, costs
    the variance of the sum of two U(0, 1): 2/12 = 1/6, which is the level of a network that remembers neither.

    Training sequences are drawn fresh, batch by batch, from the generator given (without one: the same each time). The
    validation and the test sequences are fixed, each by a seed of its own. There are no raw data, so no SHA-256.

    Args:
        steps: T, at least 2; 200, 500 and 1000 in the paper.
        sequences: training sequences an epoch. The paper's one iteration is a batch of 128, so an epoch is 10.
        held_out: sequences of validation, and as many of test.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997), experiment 4, in the form of Yin, Corradi and
    Bohte, Nature Machine Intelligence 5 (2023), whose evaluation draws a fresh batch each time.
    """

    licence = "none needed: generated"
    origin = "generated"
    inputs = 2
    outputs = 1

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(ge=2)] = 200,
        sequences: PositiveInt = 1280,
        held_out: PositiveInt = 1000,
    ) -> None:
        self.steps, self.sequences, self.held_out = steps, sequences, held_out
        self.task = Regression(chance=1 / 6)

    @classmethod
    def tiny(cls) -> Adding:
        """12 steps, 36 training sequences an epoch, 10 of validation and of test."""
        return cls(steps=12, sequences=36, held_out=10)

    def size(self, split: Split) -> int:
        return self.sequences if split == "train" else self.held_out

    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        fixed = torch.Generator().manual_seed(SEEDS[split])
        if split == "train":
            for start in range(0, self.sequences, batch):
                yield Batch(*self._draw(min(batch, self.sequences - start), generator or fixed))
            return
        # Drawn whole, so that the sequences do not depend on the size of a batch.
        x, target = self._draw(self.held_out, fixed)
        order = torch.arange(len(target))
        if generator is not None:
            order = torch.randperm(len(target), generator=generator)
        for chosen in order.split(batch):
            yield Batch(x.index_select(1, chosen), target.index_select(0, chosen))

    def sha256(self) -> str | None:
        return None

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return x [steps, n, 2] and y [n, 1]."""
        T = self.steps
        v = torch.rand(T, n, generator=generator)
        i = torch.randint(T // 2, (n,), generator=generator)
        j = torch.randint((T + 1) // 2, T, (n,), generator=generator)
        marked = torch.stack([i, j])
        m = torch.zeros(T, n).scatter_(0, marked, 1.0)
        return torch.stack([v, m], dim=2), v.gather(0, marked).sum(0).unsqueeze(1)
