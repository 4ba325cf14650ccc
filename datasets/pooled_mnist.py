"""MNIST with fewer pixels, pixel by pixel."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d

from throughtime.datasets.base import computed
from throughtime.datasets.mnist_family import SequentialMNIST
from throughtime.datasets.mnist_files import Test, Train, Validation, mnist_files, synthetic_images
from throughtime.registry import dataset


@dataset("smnist_pooled")
class PooledMNIST(SequentialMNIST):
    """MNIST pixel by pixel, with means over squares of `pool` x `pool` pixels: 196 steps of one pixel at pool = 2.

    x_t = p̄_π(t) / 255, where p̄ are the means in row order, and π is the identity or
    `RandomState(permutation).permutation(T)`, T = (28 / pool)². The target is the digit, 10 classes. `Images` describes
    splits and options; source and licence are those of `smnist`.

    Args:
        pool: side of a square in pixels.
        permutation: seed of π; null: row order.
        train, validation, test: as in `Images`.
    """

    files = mnist_files("smnist_pooled")

    def __init__(
        self,
        *,
        pool: Literal[2, 4, 7] = 2,
        permutation: Annotated[int, Field(ge=0, lt=2**32)] | None = None,
        train: Train = None,
        validation: Validation = None,
        test: Test = None,
    ) -> None:
        super().__init__(train=train, validation=validation, test=test)
        self.pool, self.permutation = pool, permutation

    @computed
    def steps(self) -> int:
        return (self.side // self.pool) ** 2

    @classmethod
    def tiny(cls) -> SequentialMNIST:
        """Return synthetic images of 14x14 pixels as 49 steps."""
        return cls().with_synthetic_files(lambda folder: synthetic_images(folder, 14), side=14, validation_images=10)

    @cached_property
    def order(self) -> Tensor:
        """π, [steps]: the mean at each step."""
        if self.permutation is None:
            return torch.arange(self.steps)
        return torch.from_numpy(np.random.RandomState(self.permutation).permutation(self.steps))

    def expanded(self, rows: Tensor) -> Tensor:
        means = avg_pool2d(rows.view(-1, 1, self.side, self.side).float(), self.pool).flatten(1)
        return means.index_select(1, self.order).unsqueeze(2)
