"""The check of class labels that readers of labelled files share."""

from __future__ import annotations

import numpy as np

from throughtime.errors import UsageError


def checked_labels(labels: np.ndarray, classes: int, where: str) -> np.ndarray:
    """Return the labels unchanged.

    Raises:
        UsageError: there is no label, or a label is not among 0 ... classes - 1.
    """
    if labels.size == 0:
        raise UsageError("the file has no sample", where=where)
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise UsageError(f"label {wrong} is not among 0 ... {classes - 1}", where=where)
    return labels
