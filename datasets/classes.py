"""Checks that readers of labelled files share."""

from __future__ import annotations

import numpy as np

from throughtime.errors import UsageError


def checked_labels(labels: np.ndarray, classes: int, where: str) -> np.ndarray:
    """Return the labels as they are.

    Raises:
        UsageError: there is none, or one is not among 0 ... classes - 1.
    """
    if labels.size == 0:
        raise UsageError("no sample in it", where=where)
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise UsageError(f"label {wrong}, where labels are 0 ... {classes - 1}", where=where)
    return labels
