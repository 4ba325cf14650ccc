"""Detection of sequences that are in two splits of a dataset, or twice in one, by their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import combinations

from torch import Tensor

from throughtime.datasets.arrays import ArrayDataset
from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.prepared import SPLITS


def overlap(dataset: Dataset) -> dict[tuple[Split, Split], int]:
    """Count the sequences that two splits have in common, for each pair of splits.

    Sequences are equal if all their inputs are; targets are not compared. Every sequence is read once; memory is 16
    bytes per sequence.
    """
    hashes = {split: set(_hashes(dataset, split)) for split in SPLITS}
    return {(first, second): len(hashes[first] & hashes[second]) for first, second in combinations(SPLITS, 2)}


def repeated(dataset: Dataset) -> dict[Split, tuple[int, int]]:
    """Count, for each split, the sequences that are equal to an earlier one of the split, and all its sequences."""
    hashes = {split: list(_hashes(dataset, split)) for split in SPLITS}
    return {
        split: (len(hashes_of_split) - len(set(hashes_of_split)), len(hashes_of_split))
        for split, hashes_of_split in hashes.items()
    }


def _hashes(dataset: Dataset, split: Split) -> Iterator[bytes]:
    if isinstance(dataset, ArrayDataset):  # in storage an input takes a bit or a byte, in a batch four bytes
        yield from (_hash(dataset.arrays.x[i]) for i in dataset.arrays.splits[split].tolist())
        return
    for batch in dataset.batches(split, 64):
        yield from map(_hash, batch.x.unbind(1))


def _hash(x: Tensor) -> bytes:
    return hashlib.blake2b(x.contiguous().numpy().tobytes(), digest_size=16).digest()
