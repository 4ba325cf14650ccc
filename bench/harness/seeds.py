"""One stream of random numbers a purpose, so that rules share weights and data order within a replicate."""

from __future__ import annotations

import hashlib


def stream(base: int, purpose: str, replicate: int) -> int:
    """A 63-bit seed from (base, purpose, replicate); purposes are `weights`, `data order`, `noise`
    (in training) and `evaluation`.

    Neither rule nor neuron enters: runs of one replicate start from the same weights wherever the shapes agree and see
    the same batches, which makes differences between rules paired.
    """
    digest = hashlib.sha256(f"{base}/{purpose}/{replicate}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
