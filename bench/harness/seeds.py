"""A random stream for each purpose, so that rules share weights and data order within a replicate."""

from __future__ import annotations

import hashlib


def stream(base: int, purpose: str, replicate: int) -> int:
    """Return a 63-bit seed derived from base seed, purpose and replicate.

    Purposes are `weights`, `data order`, `noise` (during training) and `evaluation`. The seed depends on neither rule
    nor neuron: runs of one replicate start from the same weights if the shapes agree, and train on the same batches, so
    that differences between rules are paired.
    """
    digest = hashlib.sha256(f"{base}/{purpose}/{replicate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
