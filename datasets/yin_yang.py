"""The Yin-Yang data set: points of a plane in three classes, generated from published seeds."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor

from throughtime.datasets.arrays import ArrayDataset, Arrays
from throughtime.datasets.base import Split
from throughtime.datasets.task import Classification
from throughtime.registry import dataset, or_default, refuse_unused

RADIUS, DOT = 0.5, 0.1
"""Radius of the circle, whose centre is (RADIUS, RADIUS), and of the two dots."""
SPLITS: dict[Split, tuple[int, int]] = {"train": (5000, 42), "validation": (1000, 41), "test": (1000, 40)}
"""Number of points and seed of each split, as published."""


def class_of(x: float, y: float) -> int:
    """Return the class of a point: 0 yin, 1 yang, 2 dot, as the source numbers them."""
    right, left = (np.hypot(x - c * RADIUS, y - RADIUS) for c in (1.5, 0.5))
    if min(right, left) < DOT:
        return 2
    return int(right <= DOT or DOT < left <= RADIUS / 2 or (y > RADIUS and right > RADIUS / 2))


def points(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw points in the circle, each of a class that is drawn before it, by rejection.

    Returns:
        Coordinates (x, y, 1 − x, 1 − y), [count, 4], and classes [count].
    """
    random = np.random.RandomState(seed)
    drawn, classes = np.empty((count, 2)), np.empty(count, np.int64)
    for n in range(count):
        classes[n] = random.randint(3)
        while True:
            x, y = random.rand(2) * 2 * RADIUS
            if np.hypot(x - RADIUS, y - RADIUS) <= RADIUS and class_of(x, y) == classes[n]:
                break
        drawn[n] = x, y
    return np.concatenate((drawn, 1 - drawn), 1), classes


@dataset("yin_yang")
class YinYang(ArrayDataset):
    """Points of the Yin-Yang symbol: three classes, the two halves and the two dots.

    A point (x, y) has the coordinates v = (x, y, 1 − x, 1 − y), each between 0 and 1.

        latency    x_t,i = [t = ⌊window · v_i⌋],   x_t,5 = [t = 0]        five inputs, a spike each
        values     x_t = v at every step                                     four inputs

    Points and splits are those that the authors published: 5000 for training, 1000 for validation and 1000 for testing,
    with the seeds 42, 41 and 40 of NumPy's `RandomState`, a stream that NumPy guarantees to keep. The SHA-256 covers
    the coordinates (float64, little-endian) and classes (int64) of the three splits in this order. Levels of the
    source: a network 4-30-3 97.6 ± 1.5 %, with its lower layer frozen 85.5 ± 5.8 %, a linear classifier 63.8 ± 1.0 %.

    Args:
        steps: T.
        code: `latency`, a spike of each input whose time is its coordinate; or `values`.
        window: time of the spike of a coordinate of 1, in steps, below T; null: 30, as many as the milliseconds in
            Wunderlich and Pehle 2021.

    Source: Kriener, Göltz and Petrovici 2022.

    References:
        Kriener, Göltz and Petrovici 2022: https://doi.org/10.1145/3517343.3517380
        Wunderlich and Pehle 2021: https://doi.org/10.1038/s41598-021-91786-z
    """

    licence = "none needed: generated"
    origin = "generated"
    outputs = 3

    def __init__(
        self,
        *,
        steps: PositiveInt = 60,
        code: Literal["latency", "values"] = "latency",
        window: PositiveInt | None = None,
    ) -> None:
        refuse_unused("code: latency", code == "latency", window=window)
        self.steps, self.code, self.window = steps, code, or_default(window, 30)
        if code == "latency" and self.window >= steps:
            raise ValueError(f"window: {self.window} needs more steps than {self.window}")
        self.inputs = 5 if code == "latency" else 4
        self.task = Classification(self.outputs)

    @classmethod
    def tiny(cls) -> YinYang:
        """Return 36, 10 and 14 points, as values in 8 steps: times of spikes on a coarse grid coincide."""
        points = cls(steps=8, code="values")
        points.limit = {"train": 36, "validation": 10, "test": 14}
        return points

    def load(self) -> Arrays:
        drawn = [points(*SPLITS[split]) for split in SPLITS]
        v, classes = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        ends = np.cumsum([count for count, _ in SPLITS.values()])
        positions = torch.arange(len(v)).tensor_split(torch.from_numpy(ends[:-1]))
        digest = hashlib.sha256(b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in (v, classes)))
        return Arrays(
            x=torch.from_numpy(v)[:, None],
            target=torch.from_numpy(classes),
            splits=dict(zip(SPLITS, positions, strict=True)),
            sha256=digest.hexdigest(),
        )

    def expanded(self, rows: Tensor) -> Tensor:
        if self.code == "values":
            return rows.float().expand(-1, self.steps, -1)
        spikes = torch.zeros(len(rows), self.steps, self.inputs, dtype=torch.uint8)
        spikes[:, :, :4].scatter_(1, (self.window * rows).long(), 1)
        spikes[:, 0, 4] = 1
        return spikes
