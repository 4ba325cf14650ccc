"""Levels of linear classifiers of the Braille recordings."""

from __future__ import annotations

import numpy as np

from throughtime.reports.papers.stored import stored

PENALTIES = np.logspace(-4, 4, 17)


@stored
def ridge_level(standardised: bool) -> float:
    """Return the test accuracy (%) of ridge regression on the letters, from all 76 samples of the four sensors.

    The penalty is that with the smallest leave-one-out error on the 1080 training sequences.

    Args:
        standardised: whether each sensor is standardised, as the source does; else its values are in 0 ... 1.
    """
    from sklearn.linear_model import RidgeClassifierCV

    from throughtime.datasets.braille import TRAIN, VALIDATION, Braille, order, recordings

    x, letters = recordings()
    values = Braille().arrays.x.numpy() if standardised else x / 255
    train, test = np.split(order(), [TRAIN + VALIDATION])
    rows = values.reshape(len(values), -1).astype(np.float64)
    model = RidgeClassifierCV(alphas=PENALTIES).fit(rows[train], letters[train])
    return float(100 * model.score(rows[test], letters[test]))
