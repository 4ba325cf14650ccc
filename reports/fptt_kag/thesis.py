"""The published runs over the number of parts K: a table of 106 cells, one unseeded run each, and one of 24."""

from __future__ import annotations

import pandas as pd

from throughtime.reports.papers.published import published_table

STEPS = {"s-mnist": 784, "ps-mnist": 784, "cifar-10": 1024}
"""T of the sequences of pixels."""


def parts(dataset: str) -> pd.DataFrame:
    """Return the results of a dataset over K, columns `with` and `without` the regulariser."""
    table = published_table("fptt_parts")
    return table[table["dataset"] == dataset].pivot(index="parts", columns="regulariser", values="value")


def momentum() -> pd.DataFrame:
    """Return the accuracies on S-MNIST under SGD with momentum over K, in percent, a column for each loss."""
    return published_table("fptt_momentum").pivot(index="parts", columns="loss", values="accuracy")


def in_the_middle(dataset: str) -> pd.DataFrame:
    """Return the rows of `parts` from K = 7 to 56 of 784 pixels; of CIFAR-10, whose grid has other K, from 8 to 64."""
    low, high = (8, 64) if dataset == "cifar-10" else (7, 56)
    return parts(dataset).loc[low:high]


def fall(dataset: str) -> pd.Series:
    """Return by how many points the accuracy falls from the last K of `in_the_middle` to the next of the grid."""
    table = parts(dataset)
    last = int(in_the_middle(dataset).index[-1])
    following = int(table.index[list(table.index).index(last) + 1])
    return table.loc[last] - table.loc[following]
