"""Comparison of two answers: outputs, and gradients or updated weights, tensor by tensor."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

TOLERANCE = {"float64": 1e-8, "float32": 1e-3}
"""Upper bound of each tensor's largest difference, relative to our largest value. Other orders of summation give
rounding errors, which hundreds of steps amplify; another spike or a missing term gives a much larger difference. In
float32 rounding may move a potential across the threshold."""


class TensorDifference(NamedTuple):
    """The tensor in which two answers differ most."""

    where: str
    size: float
    """Largest difference relative to our largest value; inf if a tensor is missing, not finite or of another shape."""


def difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> TensorDifference:
    """Compare all tensors that either answer has."""
    differences = [TensorDifference(name, _size(ours.get(name), theirs.get(name))) for name in {**ours, **theirs}]
    return max(
        differences, key=lambda difference: difference.size, default=TensorDifference("nothing to compare", math.inf)
    )


def _size(a: Tensor | None, b: Tensor | None) -> float:
    if a is None or b is None or a.shape != b.shape:
        return math.inf
    a, b = a.detach().double(), b.detach().double()
    if not (a.isfinite().all() and b.isfinite().all()):
        return math.inf
    largest, apart = float(a.abs().max()), float((a - b).abs().max())
    return apart / largest if largest else (math.inf if apart else 0.0)
