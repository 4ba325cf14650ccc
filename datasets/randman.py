"""Smooth random manifolds: classes of points on them, as times or numbers of spikes."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from throughtime.datasets.generated import Generated
from throughtime.datasets.task import Classification
from throughtime.registry import dataset

SMALLEST_AMPLITUDE, MOST_FREQUENCIES = 1e-3, 1000
"""Smallest amplitude of a frequency, and the largest number of frequencies."""
RANGE = 250
"""Points of a class whose range is mapped to 0 ... 1."""
SINES_AT_ONCE = 2**17
"""Number of sines that are computed at a time."""


@dataset("randman")
class Randman(Generated):
    """Points on smooth random manifolds, one for each class, whose coordinates are times or numbers of spikes.

        y_i(x) = Π_d Σ_k a_idk / (k + 1)^β · sin(2π (k x_d b_idk + c_idk)),     x ~ U(0, 1)^D,  k = 0 ... F − 1
        u_i    = (y_i − min y_i) / (max y_i − min y_i)                  over 250 points of the class; clamped to [0, 1)

        time    one spike of input i at step ⌊T u_i⌋
        rate    ⌊T u_i⌋ + 1 spikes of input i, at random steps

    a, b, c ~ U(0, 1) for each class and input, a = 0 at k = 0; F = ⌈1000^(1/β)⌉ at most 1000. In the code `time` all
    information is in the times, in `rate` in the numbers. Time of a sequence: inputs · D · F sines. Source: the
    generator of Zenke and Vogels 2021, without its number of spikes per input; codes and settings of Summe, Schaefer
    and Joshi 2023, who have β = 1, D = 3 and 50 inputs. The range is that of fixed points here, and of each drawn set
    there.

    Args:
        code: `time` or `rate`.
        steps: T.
        classes: number of manifolds.
        units: number of inputs.
        dimension: D, of the manifolds.
        smoothness: β; larger values give smoother manifolds.
        manifolds: seed of a, b and c, of NumPy's `RandomState`.
        sequences, held_out: as in `Generated`.

    References:
        Zenke and Vogels 2021: https://doi.org/10.1162/neco_a_01367
        Summe, Schaefer and Joshi 2023: https://doi.org/10.48550/arXiv.2311.16151
    """

    def __init__(
        self,
        *,
        code: Literal["time", "rate"] = "time",
        steps: PositiveInt = 50,
        classes: Annotated[int, Field(ge=2)] = 10,
        units: PositiveInt = 50,
        dimension: PositiveInt = 3,
        smoothness: PositiveFloat = 1.0,
        manifolds: Annotated[int, Field(ge=0, lt=2**32 - 1)] = 0,
        sequences: PositiveInt = 1280,
        held_out: PositiveInt = 500,
    ) -> None:
        super().__init__(sequences, held_out)
        self.code, self.steps, self.inputs, self.outputs = code, steps, units, classes
        self.dimension, self.smoothness, self.manifolds = dimension, smoothness, manifolds
        self.task = Classification(classes)

    @classmethod
    def tiny(cls) -> Randman:
        """Return 3 classes of smooth surfaces on 12 inputs in 20 steps; 36, 10 and 10 sequences."""
        return cls(steps=20, classes=3, units=12, dimension=2, smoothness=2.0, sequences=36, held_out=10)

    def manifold(self, label: int) -> Tensor:
        """Return a, b and c of the manifold of a class, [units, D, 3, F]."""
        return self._parameters[label]

    @cached_property
    def _parameters(self) -> Tensor:
        power = max(-1 / self.smoothness, -10.0)  # beyond it the float would overflow, and F is at its limit anyway
        frequencies = min(MOST_FREQUENCIES, int(np.ceil(SMALLEST_AMPLITUDE**power)))
        shape = (self.outputs, self.inputs, self.dimension, 3, frequencies)
        drawn = torch.from_numpy(np.random.RandomState(self.manifolds).random_sample(shape)).float()
        drawn[..., 0, 0] = 0
        return drawn

    @cached_property
    def _ranges(self) -> Tensor:
        """Smallest and largest y of each class and input, [classes, 2, units]."""
        x = torch.from_numpy(np.random.RandomState(self.manifolds + 1).random_sample((RANGE, self.dimension))).float()
        ys = (self.points(x, label) for label in range(self.outputs))
        return torch.stack([torch.stack((y.amin(0), y.amax(0))) for y in ys])

    def points(self, x: Tensor, label: int) -> Tensor:
        """Return y of points x [n, D] on the manifold of a class, [n, units]."""
        a, b, c = self.manifold(label).unbind(-2)
        k = torch.arange(a.shape[-1], dtype=x.dtype)
        amplitudes, frequencies = a / (k + 1) ** self.smoothness, k * b
        few = max(1, SINES_AT_ONCE // a[:, 0].numel())
        return torch.cat([_product(part, amplitudes, frequencies, c) for part in x.split(few)])

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        target = torch.randint(self.outputs, (n,), generator=generator)
        x, u = torch.rand(n, self.dimension, generator=generator), torch.empty(n, self.inputs)
        for label in target.unique().tolist():
            low, high = self._ranges[label]
            u[target == label] = (self.points(x[target == label], label) - low) / (high - low)
        step = (self.steps * u).long().clamp(0, self.steps - 1)
        if self.code == "time":
            return torch.zeros(self.steps, n, self.inputs, dtype=torch.bool).scatter_(0, step[None], True), target
        rank = torch.rand(self.steps, n, self.inputs, generator=generator).argsort(0).argsort(0)
        return rank <= step, target


def _product(x: Tensor, amplitudes: Tensor, frequencies: Tensor, c: Tensor) -> Tensor:
    """Return Π_d Σ_k amplitude · sin(2π (frequency · x_d + c)), [n, units], for x [n, D] and [units, D, F]."""
    y = x.new_ones(len(x), len(c))
    for d, x_d in enumerate(x.unbind(1)):
        sines = torch.sin(2 * torch.pi * (x_d[:, None, None] * frequencies[:, d] + c[:, d]))
        y *= torch.einsum("nuk,uk->nu", sines, amplitudes[:, d])
    return y
