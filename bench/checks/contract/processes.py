"""A dataset in another process, with another seed of Python's hashes."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from unittest import mock

from throughtime.checks.fact import DoesNotApplyError, Observed
from throughtime.datasets.base import Dataset
from throughtime.datasets.prepared import SPLITS
from throughtime.numerics.trees import tensors
from throughtime.registry import DATASETS, Component, load_plugin

SECONDS = 120
"""Time that the other process has."""


def differs_elsewhere(component: Component) -> Observed:
    """Return 1 if another process draws other batches of the tiny variant, else 0.

    Raises:
        DoesNotApplyError: the dataset is not one that another process can import by its name.
    """
    name, origin = component.name, component.origin
    is_file = origin.endswith(".py")
    if (
        name not in DATASETS.names()
        or DATASETS[name].factory is not component.factory
        or not (is_file or origin == "throughtime")
    ):
        raise DoesNotApplyError("another process cannot import it by its name")
    there = other_process().submit(digest_by_name, name, origin if is_file else "").result(SECONDS)
    return Observed(float(there != digest(component.factory.tiny())), there[:12])  # type: ignore[attr-defined]


@functools.cache
def other_process() -> ProcessPoolExecutor:
    """Return a pool of one process; it ends with this one."""
    with mock.patch.dict(os.environ, {"PYTHONHASHSEED": "12345"}):
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        pool.submit(os.getpid).result(SECONDS)
    return pool


def digest_by_name(name: str, plugin: str) -> str:
    if plugin:
        load_plugin(plugin)
    return digest(DATASETS[name].factory.tiny())  # type: ignore[attr-defined]


def digest(dataset: Dataset) -> str:
    """Return a digest of all batches of a dataset, in their order."""
    whole = hashlib.sha256()
    for split in SPLITS:
        for batch in dataset.batches(split, 7):
            for part in tensors((batch.x, batch.target)):
                whole.update(part.contiguous().numpy().tobytes())
    return whole.hexdigest()
