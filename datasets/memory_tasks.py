"""Memory tasks: copy a sequence after a delay; XOR of two cues with a delay between them."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from throughtime.datasets.generated import Generated
from throughtime.datasets.spike_trains import poisson
from throughtime.datasets.task import Classification
from throughtime.registry import dataset


@dataset("copy")
class Copy(Generated):
    """Repeat L symbols after a delay of D steps: a class per step, in the last L of T = 2 L + D steps.

        x_t = one-hot of s_t                 t < L,        s_t ~ U{0 ... S − 1}
        x_t = 0                              L ≤ t < L + D
        x_t = one-hot of the cue channel     L + D ≤ t     target s_{t − L − D}; earlier steps have no label, −1

    There are S + 1 inputs and S classes. The accuracy without memory is 1/S.

    Args:
        length: L, in steps.
        delay: D, in steps.
        symbols: S.
        sequences, held_out: as in `Generated`.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997); in this form, with a cue, Graves, Wayne and
    Danihelka, arXiv:1410.5401 (2014).
    """

    def __init__(
        self,
        *,
        length: PositiveInt = 10,
        delay: Annotated[int, Field(ge=0)] = 100,
        symbols: Annotated[int, Field(ge=2)] = 8,
        sequences: PositiveInt = 1280,
        held_out: PositiveInt = 500,
    ) -> None:
        super().__init__(sequences, held_out)
        self.length, self.delay = length, delay
        self.steps, self.inputs, self.outputs = 2 * length + delay, symbols + 1, symbols
        self.task = Classification(symbols, per_step=True)

    @classmethod
    def tiny(cls) -> Copy:
        """Return 6 symbols and a delay of 3, so 15 steps; 36 training, 10 validation and 10 test sequences."""
        return cls(length=6, delay=3, sequences=36, held_out=10)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        L, D = self.length, self.delay
        s = torch.randint(self.outputs, (L, n), generator=generator)
        x = torch.zeros(self.steps, n, self.inputs, dtype=torch.bool)
        x[:L].scatter_(2, s.unsqueeze(2), True)
        x[L + D :, :, -1] = True
        target = torch.full((self.steps, n), -1)
        target[L + D :] = s
        return x, target


@dataset("delayed_xor")
class DelayedXor(Generated):
    """XOR of two cues with a long delay between them: one class per sequence, 2 classes.

    Four groups of neurons send Poisson spikes: two groups encode the values 0 and 1 of a cue, one marks the answer
    period, and one is noise. T = 2 cue + delay + answer steps of 1 ms: first cue, delay, second cue, answer.

        rate of group c during a cue of value c: 40 Hz; of the third in the answer period: 40 Hz;
        of the fourth in all steps: 10 Hz; otherwise 0

    A single cue carries no information on the class: the accuracy without memory of the first cue is one half.

    Args:
        cue: steps of a cue.
        delay: steps between the cues.
        answer: steps of the answer period.
        group: neurons in each of the 4 groups.
        sequences, held_out: as in `Generated`.

    Source: a classical task, with the spike code of Bellec et al., Nature Communications 11:3625 (2020).
    """

    outputs = 2

    def __init__(
        self,
        *,
        cue: PositiveInt = 100,
        delay: PositiveInt = 500,
        answer: PositiveInt = 100,
        group: PositiveInt = 10,
        sequences: PositiveInt = 640,
        held_out: PositiveInt = 250,
    ) -> None:
        super().__init__(sequences, held_out)
        self.cue, self.delay, self.answer, self.group = cue, delay, answer, group
        self.steps, self.inputs = 2 * cue + delay + answer, 4 * group
        self.task = Classification(self.outputs)

    @classmethod
    def tiny(cls) -> DelayedXor:
        """Return 24 steps of 4 x 5 neurons; 36 training, 10 validation and 10 test sequences."""
        return cls(cue=8, delay=4, answer=4, group=5, sequences=36, held_out=10)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        first, second = torch.randint(2, (2, n), generator=generator)
        rate = torch.zeros(self.steps, n, 4)
        for start, value in ((0, first), (self.cue + self.delay, second)):
            rate[start : start + self.cue].scatter_(2, value.expand(self.cue, n).unsqueeze(2), 40.0)
        rate[-self.answer :, :, 2] = 40.0
        rate[:, :, 3] = 10.0
        return poisson(rate, self.group, generator), first ^ second
