"""Random images, for measuring the memory and the time of a network without the data that it is made for."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from throughtime.datasets.generated import Generated
from throughtime.datasets.task import Classification
from throughtime.registry import dataset


@dataset("random_frames")
class RandomFrames(Generated):
    """Counts of events in images with two polarities, at random: costs can be measured with them, and nothing learnt.

        x_t[p, i, j] ~ Poisson(rate),      y ~ U{0 ... classes − 1}, independent of x

    With the size 128 and batches of 64 a step of the input has 8 MiB.

    Args:
        steps: T.
        size: side of the image, in pixels.
        classes: number of classes.
        rate: mean number of events at a pixel, of each polarity, in a step; up to 150, a count fits into 8 bits.
        sequences, held_out: as in `Generated`.
    """

    def __init__(
        self,
        *,
        steps: PositiveInt = 20,
        size: PositiveInt = 32,
        classes: Annotated[int, Field(ge=2)] = 11,
        rate: Annotated[float, Field(ge=0, le=150)] = 0.1,
        sequences: PositiveInt = 64,
        held_out: PositiveInt = 16,
    ) -> None:
        super().__init__(sequences, held_out)
        self.steps, self.rate, self.outputs = steps, rate, classes
        self.layout, self.inputs = (2, size, size), 2 * size * size
        self.task = Classification(classes)

    @classmethod
    def tiny(cls) -> RandomFrames:
        """Return 6 steps of 4 x 4 pixels, 3 classes; 24 training, 9 validation and 9 test sequences."""
        return cls(steps=6, size=4, classes=3, rate=0.5, sequences=24, held_out=9)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.empty(self.steps, n, self.inputs, dtype=torch.uint8)
        for x_t in x:
            x_t.copy_(torch.poisson(torch.full(x_t.shape, float(self.rate)), generator))
        return x, torch.randint(self.outputs, (n,), generator=generator)
