"""Numbers of the data set, and levels of networks without spikes on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from throughtime.reports.papers.stored import stored

HIDDEN, RUNS, EPOCHS = 30, 3, 60
"""Neurons of the hidden layer as published; runs of a mean, and epochs, are ours."""


@stored
def first_class() -> float:
    """Return the number of training points of class 0."""
    return float((_split("train")[1] == 0).sum())


@stored
def mean_coordinate() -> float:
    """Return the mean of x over the test points."""
    return float(_split("test")[0][:, 0].mean())


@stored
def linear_level() -> float:
    """Return the test accuracy of a logistic regression on the coordinates (%)."""
    return _accuracy(lambda v: v)


@stored
def frozen_level() -> float:
    """Return the mean test accuracy (%) of logistic regressions on hidden layers of 30 rectified units that stay as
    drawn, W and b from U(±1/√4)."""
    return float(np.mean([_accuracy(_hidden(seed), C=1e4) for seed in range(RUNS)]))


@stored
def trained_level() -> float:
    """Return the mean test accuracy (%) of networks 4-30-3 with rectified units under Adam, 0.01, batches of 20."""
    from sklearn.neural_network import MLPClassifier

    (v, classes), (v_test, classes_test) = _split("train"), _split("test")
    accuracies = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that more epochs would change the weights
        for seed in range(RUNS):
            network = MLPClassifier(
                (HIDDEN,), learning_rate_init=0.01, batch_size=20, max_iter=EPOCHS, random_state=seed
            )
            accuracies.append(network.fit(v, classes).score(v_test, classes_test))
    return float(100 * np.mean(accuracies))


def _split(split: Literal["train", "test"]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the four coordinates and the classes of a split."""
    from throughtime.datasets.yin_yang import SPLITS, points  # imports torch

    return points(*SPLITS[split])


Features = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _hidden(seed: int) -> Features:
    random = np.random.RandomState(seed)
    W, b = random.uniform(-0.5, 0.5, (4, HIDDEN)), random.uniform(-0.5, 0.5, HIDDEN)
    return lambda v: np.maximum(v @ W + b, 0)


def _accuracy(features: Features, **options: Any) -> float:
    from sklearn.linear_model import LogisticRegression

    (v, classes), (v_test, classes_test) = _split("train"), _split("test")
    model = LogisticRegression(max_iter=5000, **options).fit(features(v), classes)
    return float(100 * model.score(features(v_test), classes_test))
