"""Numbers of the data set."""

from __future__ import annotations

from throughtime.datasets.yin_yang import SPLITS, points


def first_class() -> float:
    """Return the number of training points of class 0."""
    return float((points(*SPLITS["train"])[1] == 0).sum())


def mean_coordinate() -> float:
    """Return the mean of x over the test points."""
    return float(points(*SPLITS["test"])[0][:, 0].mean())
