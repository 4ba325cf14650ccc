"""Sums in compiled loops, partitioned over threads like other loops, since data of another thread are slow to read."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from throughtime.numerics.loops import compiled, prange

PART = 64
"""Samples in a part, which one thread processes; sums over parts are rounded equally for any number of threads."""


@compiled
def parts_of(samples: int) -> int:
    """Return the number of parts; the last one may be smaller."""
    return (samples + PART - 1) // PART


@compiled
def sum_of_rows(x: Any, sum: Any) -> None:
    """sum ← Σ_n x[n]."""
    batch, features = x.shape
    parts = parts_of(batch)
    part_sums = np.empty((parts, features), x.dtype)
    for part in prange(parts):
        add_rows_up(x[part * PART : (part + 1) * PART], part_sums[part])
    add_rows_up(part_sums, sum)


@compiled
def add_rows_up(x: Any, sum: Any) -> None:
    """sum ← Σ_n x[n], row by row on one thread."""
    rows, features = x.shape
    sums = np.zeros(features, x.dtype)
    for n in range(rows):
        for i in range(features):
            sums[i] += x[n, i]
    for i in range(features):  # sum[:] = sums would compile the compiler's messages about shapes: 3 s
        sum[i] = sums[i]


@compiled
def sum_of_squares(x: Any) -> float:
    """Return Σ x² of a flat array."""
    sum = x[0] - x[0]
    for i in prange(len(x)):
        sum += x[i] * x[i]
    return sum


@compiled
def sum_of_squares_in_float64(x: Any) -> float:
    """Return Σ x² of a flat array, in float64, where no square of a number of float32 is infinite."""
    sum = 0.0
    for i in prange(len(x)):
        y = np.float64(x[i])
        sum += y * y
    return sum


@compiled
def scale(x: Any, factor: float) -> None:
    """x ← factor x for a flat array."""
    for i in prange(len(x)):
        x[i] *= factor


def number_or_tensor(constant: float | Tensor) -> float | Tensor:
    """Return a constant of one element as a number, which is cheaper in operations. On devices other than the CPU it
    stays a tensor, since reading it would synchronise."""
    if not isinstance(constant, Tensor):
        return constant
    return constant.item() if constant.numel() == 1 and constant.device.type == "cpu" else constant
