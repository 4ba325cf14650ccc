"""Detection of sequences that are in two splits of a dataset, or twice in one, by their hashes."""

from __future__ import annotations

import hashlib
from itertools import combinations

from torch import Tensor

from throughtime.datasets.arrays import ArrayDataset
from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.prepared import SPLITS


def hashes(dataset: Dataset) -> dict[Split, list[bytes]]:
    """Return a hash of the inputs of each sequence, in 16 bytes. Every sequence is read once."""
    if isinstance(dataset, ArrayDataset):  # in storage an input takes a bit or a byte, in a batch four bytes
        x, splits = dataset.arrays.x, dataset.arrays.splits
        return {split: [_hash(x[i]) for i in splits[split].tolist()] for split in SPLITS}
    return {split: [_hash(x) for batch in dataset.batches(split, 64) for x in batch.x.unbind(1)] for split in SPLITS}


def overlap(hashed: dict[Split, list[bytes]]) -> dict[tuple[Split, Split], int]:
    """Count the sequences that two splits have in common, for each pair of splits, from their `hashes`.

    Sequences are equal if all their inputs are; targets are not compared.
    """
    distinct = {split: set(hashed[split]) for split in SPLITS}
    return {(first, second): len(distinct[first] & distinct[second]) for first, second in combinations(SPLITS, 2)}


def repeated(hashed: dict[Split, list[bytes]]) -> dict[Split, tuple[int, int]]:
    """Count, for each split, the sequences that are equal to an earlier one of the split, and all its sequences."""
    return {split: (len(of_split) - len(set(of_split)), len(of_split)) for split, of_split in hashed.items()}


def _hash(x: Tensor) -> bytes:
    return hashlib.blake2b(x.contiguous().numpy().tobytes(), digest_size=16).digest()
