"""Handwritten digits of 8x8 pixels: real data that come with scikit-learn, for short runs without network access."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from throughtime.datasets.arrays import ArrayDataset, Arrays, stratified_order
from throughtime.datasets.task import Classification
from throughtime.registry import dataset


@dataset("digits")
class Digits(ArrayDataset):
    """1797 handwritten digits of 8x8 pixels, pixel by pixel or row by row.

    x_t = p_t / 16, where p_t in 0 ... 16 is the t-th pixel in row order (64 steps of 1 input), or the t-th row from the
    top (8 steps of 8 inputs). The target is the digit, 10 classes.

    The split is fixed, and the same for both forms: `stratified_order` with seed 1797 is cut into 1257 training, 180
    validation and 360 test samples (70, 10 and 20 %). The SHA-256 covers the pixels (uint8, sample by sample, in row
    order), followed by the labels (uint8), both in the order of scikit-learn.

    Args:
        steps: 64, one pixel per step, or 8, one row per step.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998), the
    test part, as in `sklearn.datasets.load_digits`.
    """

    licence = "CC BY 4.0"
    origin = "comes with scikit-learn"
    unit = 16.0
    outputs = 10
    repeated = 0.0

    def __init__(self, *, steps: Literal[64, 8] = 64) -> None:
        self.steps, self.inputs = steps, 64 // steps
        self.task = Classification(self.outputs)

    @classmethod
    def tiny(cls) -> Digits:
        """Return 60 of the real samples (36, 10 and 14), one row per step."""
        digits = cls(steps=8)
        digits.limit = {"train": 36, "validation": 10, "test": 14}
        return digits

    def load(self) -> Arrays:
        pixels, labels = np.split(np.loadtxt(_file_of_scikit_learn(), np.uint8, delimiter=","), [64], axis=1)
        labels = labels[:, 0]
        train, validation, test = torch.from_numpy(stratified_order(labels, seed=1797)).split([1257, 180, 360])
        return Arrays(
            x=torch.from_numpy(pixels).view(-1, self.steps, self.inputs),
            target=torch.from_numpy(labels).long(),
            splits={"train": train, "validation": validation, "test": test},
            sha256=hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest(),
        )


def _file_of_scikit_learn() -> Path:
    """Return the file that `load_digits` reads; an import of scikit-learn would take each run a second."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.submodule_search_locations, "scikit-learn is a dependency"
    return Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
