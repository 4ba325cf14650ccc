"""The Free Spoken Digit Dataset with the same sound in few or many frames."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from throughtime.datasets.arrays import ArrayDataset, Arrays
from throughtime.datasets.files.fetch import DataFile
from throughtime.datasets.spoken_digits import FILES, SAMPLE, SpokenDigits
from throughtime.registry import dataset

RECORDED = 100
"""Frames of 10 ms that are stored: a second."""


@dataset("fsdd_frames")
class SpokenFrames(ArrayDataset):
    """The first second of the recordings of `fsdd` in T frames: with more frames the same sound takes more steps.

        x_t = mean of the 100 / T frames of 10 ms of `fsdd` in the t-th of T equal parts of a second;
              each of them twice at T = 200

    Splits, bands, source and licence are those of `fsdd`.

    Args:
        steps: T.
    """

    files = FILES
    licence = SpokenDigits.licence
    outputs = SpokenDigits.outputs
    unit = 255.0

    def __init__(self, *, steps: Literal[25, 50, 100, 200] = 100) -> None:
        self._read(steps, SpokenDigits(steps=RECORDED))

    def _read(self, steps: int, digits: SpokenDigits) -> None:
        self.steps, self.digits = steps, digits
        self.inputs, self.task = digits.inputs, digits.task

    @classmethod
    def tiny(cls) -> SpokenFrames:
        """Return 40 real recordings, four of each digit (20 for test, 2 for validation), in 25 steps of 8 bands."""
        made, digits = cls(), SpokenDigits(steps=RECORDED, bands=8)
        made._read(25, digits.with_synthetic_files(lambda folder: [SAMPLE], licence=cls.licence))
        return made

    def needed(self) -> tuple[DataFile, ...]:
        return self.digits.needed()

    def prepare(self) -> None:
        self.digits.prepare()

    def load(self) -> Arrays:
        return self.digits.arrays

    def expanded(self, rows: Tensor) -> Tensor:
        if self.steps > RECORDED:
            return rows.repeat_interleave(self.steps // RECORDED, dim=1)
        return rows.unflatten(1, (self.steps, RECORDED // self.steps)).float().mean(2)
