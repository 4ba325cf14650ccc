"""The Free Spoken Digit Dataset with the same sound in few or many frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from throughtime.datasets.spoken_digits import FILES, SAMPLE, SpokenDigits
from throughtime.registry import dataset

RECORDED = 100
"""Frames of 10 ms that are stored: a second."""


@dataset("fsdd_frames")
class SpokenFrames(SpokenDigits):
    """The first second of the recordings of `fsdd` in T frames: with more frames the same sound takes more steps.

        x_t = mean of the 100 / T frames of 10 ms of `fsdd` in the t-th of T equal parts of a second;
              each of them twice at T = 200

    Splits, bands, source and licence are those of `fsdd`.

    Args:
        steps: T.
    """

    files = (dataclasses.replace(FILES[0], dataset="fsdd_frames"),)

    def __init__(self, *, steps: Literal[25, 50, 100, 200] = 100) -> None:
        super().__init__(steps=steps)
        self.repeated = None

    @classmethod
    def tiny(cls) -> SpokenFrames:
        """Return 40 real recordings, four of each digit (20 for test, 2 for validation), in 25 steps of 8 bands."""
        made, sizes = cls(steps=25), {"bands": 8, "inputs": 8}
        return made.with_synthetic_files(lambda folder: [SAMPLE], licence=cls.licence, **sizes)

    def parameters(self) -> Mapping[str, Any]:
        return {**super().parameters(), "steps": RECORDED}

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        SpokenDigits(steps=RECORDED, bands=self.bands).build(paths, folder)

    def expanded(self, rows: Tensor) -> Tensor:
        if self.steps > RECORDED:
            return rows.repeat_interleave(self.steps // RECORDED, dim=1)
        return rows.unflatten(1, (self.steps, RECORDED // self.steps)).float().mean(2)
