"""Whether two answers are the same: outputs, and gradients or updated weights, one by one."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

TOLERANCE = {"float64": 1e-8, "float32": 1e-3}
"""Largest difference over the largest number of ours, of each tensor. Sums are taken in other orders, and hundreds of
steps amplify that; a spike that falls otherwise, or a term that is missing, shows far above. In float32 a potential
next to the threshold may be rounded across it."""


class Difference(NamedTuple):
    """Where two answers differ most."""

    where: str
    size: float
    """Largest difference, over the largest number of ours; inf where one is not there, not finite or another shape."""


def difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> Difference:
    """Of all that either has."""
    found = [Difference(name, _size(ours.get(name), theirs.get(name))) for name in {**ours, **theirs}]
    return max(found, key=lambda difference: difference.size, default=Difference("nothing to compare", math.inf))


def _size(a: Tensor | None, b: Tensor | None) -> float:
    if a is None or b is None or a.shape != b.shape:
        return math.inf
    a, b = a.detach().double(), b.detach().double()
    if not (a.isfinite().all() and b.isfinite().all()):
        return math.inf
    largest, apart = float(a.abs().max()), float((a - b).abs().max())
    return apart / largest if largest else (math.inf if apart else 0.0)
