"""Datasets from files with one fault each: a digest that misses a file, training data that the test split shapes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tests.checks.test_checks import Twin, assert_found_out, title
from throughtime.datasets.files.fetch import DataFile
from throughtime.datasets.prepared import PreparedDataset, save
from throughtime.datasets.task import Classification

NAMES = ("toy_train.npy", "toy_test.npy")
CLASSES = 4


class Filed(PreparedDataset):
    """A number at each of 3 steps, between 0 and 1 in training; a class. Sound; base of the twins."""

    inputs, outputs, steps, task = 1, CLASSES, 3, Classification(CLASSES)
    files = tuple(DataFile("toy", "toy", name, None, None) for name in NAMES)

    @classmethod
    def tiny(cls):
        return cls().with_synthetic_files(write)

    def build(self, paths, folder):
        train, test = (np.load(path) for path in paths)
        low, high = self.extremes(train, test)
        x = (np.concatenate([train, test]) - low) / (high - low)
        n = len(train)
        splits = {"train": np.arange(10, n), "validation": np.arange(10), "test": np.arange(n, len(x))}
        save(folder, np.arange(len(x)) % CLASSES, splits, x[..., None].astype(np.float32))

    def extremes(self, train, test):
        return train.min(), train.max()


def write(folder):
    random = np.random.RandomState(0)
    paths = [folder / name for name in NAMES]
    for path, n, most in zip(paths, (50, 20), (1.0, 3.0), strict=True):
        np.save(path, most * random.random_sample((n, 3)))
    return paths


class ScaledByAll(Filed):
    """The extremes are those of training and test data: no mean is 0, and no variance 1."""

    def extremes(self, train, test):
        return min(train.min(), test.min()), max(train.max(), test.max())


class DigestOfNames(Filed):
    def digest(self, paths):
        return hashlib.sha256(" ".join(path.name for path in paths).encode()).hexdigest()


class DigestOfTraining(Filed):
    def digest(self, paths):
        return hashlib.sha256(paths[0].read_bytes()).hexdigest()


COVERS, SHAPES = "digest changes with the content of each file", "training data do not depend on test files"
TWINS = [
    Twin(COVERS, DigestOfNames, Filed),
    Twin(COVERS, DigestOfTraining, Filed),
    Twin(SHAPES, ScaledByAll, Filed),
]


@pytest.mark.parametrize("twin", TWINS, ids=title)
def test_the_fact_finds_the_fault(twin, monkeypatch):
    assert_found_out("datasets", twin, monkeypatch)
