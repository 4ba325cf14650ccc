"""Braille letters under a sliding fingertip: recordings that come with the package."""

from __future__ import annotations

import hashlib
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor

from throughtime.datasets.arrays import ArrayDataset, Arrays
from throughtime.datasets.task import Classification
from throughtime.registry import dataset

SAMPLES, TRAIN, VALIDATION = 76, 1000, 80
"""Samples of a recording; sequences of the first two splits."""


def recordings() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the recordings [1350, 76, 4] and letters [1350], 0 for the space and 1 to 26 for A to Z."""
    with resources.files("throughtime.published").joinpath("braille.npz").open("rb") as file:
        arrays = np.load(file)
        return arrays["x"], arrays["y"]


def order() -> NDArray[np.int64]:
    """Return the source's order of the recordings: the first 1080 are for training, the last 270 for testing."""
    order = np.arange(1350)
    np.random.RandomState(42).shuffle(order)
    return order


@dataset("braille")
class Braille(ArrayDataset):
    """1350 recordings of four touch sensors of a fingertip that slides over a Braille letter: 26 letters and the space.

        v = 1 − p / 255,      x = (v − mean v) / (sd v + 0.001)          mean and sd of a sensor, over all recordings

    p is the recorded byte; each sample is held for some steps. Of the twelve sensors these are the four of the source,
    1, 2, 6 and 10. Its order with NumPy's seed 42 is cut into 1000 training, 80 validation and 270 test sequences; the
    test part is the source's, which trains on the other 1080. Mean and sd are of all three, as there. The SHA-256
    covers the bytes and the letters (uint8) in the order of the source's file.

    Args:
        hold: steps for which a sample is held; 2 are steps of 1 ms, as in the source.

    Source: Müller-Cleve et al. 2022, as prepared in SpyTorch, tutorial 5.

    References:
        Müller-Cleve et al. 2022: https://doi.org/10.3389/fnins.2022.951164
    """

    licence = "CC BY 4.0"
    origin = "comes with the package"
    inputs = 4
    outputs = 27

    def __init__(self, *, hold: PositiveInt = 2) -> None:
        self.hold, self.steps = hold, hold * SAMPLES
        self.task = Classification(self.outputs)

    @classmethod
    def tiny(cls) -> Braille:
        """Return 36, 10 and 14 of the recordings, a step for each sample."""
        letters = cls(hold=1)
        letters.limit = {"train": 36, "validation": 10, "test": 14}
        return letters

    def load(self) -> Arrays:
        x, letters = recordings()
        v = 1 - x.astype(np.float64) / 255
        standardised = (v - v.mean((0, 1))) / (v.std((0, 1), ddof=1) + 1e-3)
        train, validation, test = torch.from_numpy(order()).tensor_split([TRAIN, TRAIN + VALIDATION])
        return Arrays(
            x=torch.from_numpy(standardised).float(),
            target=torch.from_numpy(letters).long(),
            splits={"train": train, "validation": validation, "test": test},
            sha256=hashlib.sha256(x.tobytes() + letters.tobytes()).hexdigest(),
        )

    def expanded(self, rows: Tensor) -> Tensor:
        return rows.repeat_interleave(self.hold, 1)
