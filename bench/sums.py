"""Sums over samples in loops. Samples are taken in parts, by whichever thread takes the same ones elsewhere: what
another thread has written comes slowly. The parts, and so the rounding, are the same for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from throughtime.compiled import compiled, prange

PART = 64
"""Samples of a part."""


@compiled
def sum_of_rows(x: Any, sum: Any) -> None:
    """sum ← Σ_n x[n]."""
    batch, features = x.shape
    parts = (batch + PART - 1) // PART
    of_parts = np.empty((parts, features), x.dtype)
    for part in prange(parts):
        add_rows_up(x[part * PART : (part + 1) * PART], of_parts[part])
    add_rows_up(of_parts, sum)


@compiled
def add_rows_up(x: Any, sum: Any) -> None:
    """The same, one row after the other."""
    rows, features = x.shape
    found = np.zeros(features, x.dtype)
    for n in range(rows):
        for i in range(features):
            found[i] += x[n, i]
    sum[:] = found
