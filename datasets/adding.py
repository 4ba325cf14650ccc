"""The adding task: a network remembers two marked numbers of a long sequence and predicts their sum."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from throughtime.datasets.generated import Generated
from throughtime.datasets.task import Regression
from throughtime.registry import dataset


@dataset("adding")
class Adding(Generated):
    """Sum of two marked numbers in a sequence of T random ones.

        x_t = (v_t, m_t)            v_t ~ U(0, 1);  m_t = 1 at two steps i < j, 0 elsewhere
        i ~ U{0 ... floor(T/2) - 1},   j ~ U{ceil(T/2) ... T - 1}
        y = v_i + v_j               target [batch, 1]

    One marker lies in each half; with odd T the step in the middle is never marked. A network that remembers neither
    number and predicts the mean, 1, has an error of 1/6, the variance of the sum of two U(0, 1).

    `Generated` describes how training and held-out sequences are drawn.

    Args:
        steps: T, at least 2; 200, 500 and 1000 in the paper.
        sequences: training sequences in an epoch. An iteration in the paper is a batch of 128, so that an epoch is 10
            iterations.
        held_out: number of validation sequences, and of test sequences.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997), experiment 4, in the form of Yin, Corradi and
    Bohte, Nature Machine Intelligence 5 (2023), where each evaluation draws a fresh batch.
    """

    inputs = 2
    outputs = 1

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(ge=2)] = 200,
        sequences: PositiveInt = 1280,
        held_out: PositiveInt = 1000,
    ) -> None:
        super().__init__(sequences, held_out)
        self.steps = steps
        self.task = Regression(chance=1 / 6)

    @classmethod
    def tiny(cls) -> Adding:
        """12 steps, 36 training sequences an epoch, 10 of validation and of test."""
        return cls(steps=12, sequences=36, held_out=10)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        T = self.steps
        v = torch.rand(T, n, generator=generator)
        i = torch.randint(T // 2, (n,), generator=generator)
        j = torch.randint((T + 1) // 2, T, (n,), generator=generator)
        marked = torch.stack([i, j])
        m = torch.zeros(T, n).scatter_(0, marked, 1.0)
        return torch.stack([v, m], dim=2), v.gather(0, marked).sum(0).unsqueeze(1)
