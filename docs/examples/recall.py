"""A dataset that is not in the package."""

from __future__ import annotations

import torch

from throughtime import dataset
from throughtime.datasets.arrays import ArrayDataset, Arrays
from throughtime.datasets.task import Classification


@dataset("recall")
class Recall(ArrayDataset):
    """Recall of the first step's symbol, one of two, after steps of noise on a third input."""

    inputs, outputs, task = 3, 2, Classification(2)
    origin, licence = "generated", "none needed"

    def __init__(self, *, steps: int = 20) -> None:
        self.steps = steps

    @classmethod
    def tiny(cls) -> Recall:
        return cls(steps=5)

    def load(self) -> Arrays:
        random = torch.Generator().manual_seed(0)
        target = torch.randint(2, (600,), generator=random)
        x = torch.zeros(600, self.steps, 3)
        x[torch.arange(600), 0, target] = 1
        x[:, :, 2] = torch.rand(600, self.steps, generator=random)
        train, validation, test = torch.arange(600).split([400, 100, 100])
        return Arrays(x, target, {"train": train, "validation": validation, "test": test}, sha256=None)
