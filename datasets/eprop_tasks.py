"""Two tasks from the paper on e-prop: evidence accumulation and pattern generation."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field, PositiveInt
from torch import Tensor

from throughtime.datasets.base import computed
from throughtime.datasets.generated import Generated
from throughtime.datasets.spike_trains import poisson
from throughtime.datasets.task import Classification, Regression, Task
from throughtime.registry import dataset


def _odd(n: int) -> int:
    if n % 2 == 0:
        raise ValueError("an even number of cues may have no majority")
    return n


@dataset("evidence_accumulation")
class EvidenceAccumulation(Generated):
    """Decide after a long delay which side had more cues, left or right: a class per step, 2 classes.

    A mouse runs along a corridor, sees cues on both sides, and must turn to the side with more cues. Four groups of
    neurons send Poisson spikes, in steps of 1 ms:

        left, right    40 Hz during a cue on that side: cue k lasts from (gap + cue) k + gap for `cue` steps
        recall         40 Hz in the last `recall` steps
        background     10 Hz at any time

    A side is drawn first, and each cue lies on it with probability 0.7; the target in the recall steps is the side of
    the majority (0 left, 1 right). Earlier steps have no label, −1.

    T = cues (gap + cue) + delay + recall, 2250 with the defaults, which are those of the authors' published code.

    Args:
        cues: number of cues, odd.
        cue: steps of each cue.
        gap: steps before each cue.
        delay: steps between the last cue and recall.
        recall: steps of recall.
        group: neurons in each of the 4 groups.
        loss_mean: the steps over which the loss of a sequence is the mean: `all`, where a step without a label has loss
            0, or the `labelled` ones, as in the authors' code. The two losses differ by the factor T / recall.
        accuracy_of: what the accuracy counts: the labelled `steps`, or the `decisions` of whole sequences, the side
            with the larger mean output over the recall steps, as in the authors' code.
        sequences, held_out: as in `Generated`. An iteration of the authors' code is a batch of 64.

    Source: Bellec et al., Nature Communications 11:3625 (2020), figure 3; Morcos and Harvey, Nature Neuroscience 19
    (2016), for the mice.
    """

    outputs = 2

    def __init__(
        self,
        *,
        cues: Annotated[PositiveInt, AfterValidator(_odd)] = 7,
        cue: PositiveInt = 100,
        gap: Annotated[int, Field(ge=0)] = 50,
        delay: Annotated[int, Field(ge=0)] = 1050,
        recall: PositiveInt = 150,
        group: PositiveInt = 10,
        loss_mean: Literal["all", "labelled"] = "all",
        accuracy_of: Literal["steps", "decisions"] = "steps",
        sequences: PositiveInt = 640,
        held_out: PositiveInt = 200,
    ) -> None:
        super().__init__(sequences, held_out)
        self.cues, self.cue, self.gap, self.recall, self.group = cues, cue, gap, recall, group
        self.steps, self.inputs = cues * (gap + cue) + delay + recall, 4 * group
        labelled = recall / self.steps if loss_mean == "labelled" else 1.0
        decision_steps = self.steps if accuracy_of == "decisions" else None
        self.task = Classification(self.outputs, per_step=True, labelled=labelled, decision_steps=decision_steps)

    @classmethod
    def tiny(cls) -> EvidenceAccumulation:
        """Return 3 cues of 5 steps, 33 steps in total; 36 training, 10 validation and 10 test sequences."""
        return cls(cues=3, cue=5, gap=2, delay=8, recall=4, group=5, sequences=36, held_out=10)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        likely = torch.randint(2, (n,), generator=generator)
        there = torch.rand(self.cues, n, generator=generator) < 0.7
        side = torch.where(there, likely, 1 - likely)  # [cues, n]: 0 left, 1 right
        rate = torch.zeros(self.steps, n, 4)
        for k, side_k in enumerate(side):
            start = k * (self.gap + self.cue) + self.gap
            rate[start : start + self.cue].scatter_(2, side_k.expand(self.cue, n).unsqueeze(2), 40.0)
        rate[-self.recall :, :, 2] = 40.0
        rate[:, :, 3] = 10.0
        target = torch.full((self.steps, n), -1)
        target[-self.recall :] = (2 * side.sum(0) > self.cues).long()
        return poisson(rate, self.group, generator), target


@dataset("pattern_generation")
class PatternGeneration(Generated):
    """Reproduce a sum of sines from input spikes that are always the same: a target at each step.

        y_k(t) = Σ_i a_i sin(2π t / P_i + φ_i) / max_t |...|      P = 1000, 500, 333, 200 steps of 1 ms
        a_i ~ U(0.5, 2),   φ_i ~ U(0, 2π)

    The input is frozen noise: Poisson spikes at 50 Hz, drawn once from the seed `pattern`, as are the curves. A
    constant prediction of the mean has an error equal to the variance of the curves.

    In the authors' form there is a single sequence, which is also the test sequence, so that generalisation is not
    tested. With `drop` above 0, each sequence lacks some of the spikes, different ones in every split; validation and
    test then measure whether the curves are robust to missing spikes.

    Args:
        steps: T.
        inputs: number of neurons that send the frozen spikes.
        outputs: number of curves.
        pattern: seed of spikes and curves.
        drop: probability that a spike is missing.
        sequences, held_out: as in `Generated`.

    Source: Bellec et al., Nature Communications 11:3625 (2020), whose published code has one curve and 100 inputs.
    """

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(ge=2)] = 1000,
        inputs: PositiveInt = 100,
        outputs: PositiveInt = 1,
        pattern: Annotated[int, Field(ge=0, lt=2**32)] = 0,
        drop: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        sequences: PositiveInt = 1,
        held_out: PositiveInt = 1,
    ) -> None:
        super().__init__(sequences, held_out)
        self.steps, self.inputs, self.outputs, self.seed, self.drop = steps, inputs, outputs, pattern, drop

    @classmethod
    def tiny(cls) -> PatternGeneration:
        """Return two curves, and 40 steps of 20 inputs without a fifth of their spikes; 36, 10 and 10 sequences."""
        return cls(steps=40, inputs=20, outputs=2, drop=0.2, sequences=36, held_out=10)

    @computed
    def task(self) -> Task:
        return Regression(chance=float(self.pattern[1].var(0, unbiased=False).mean()), per_step=True)

    @cached_property
    def pattern(self) -> tuple[Tensor, Tensor]:
        """Frozen spikes [steps, inputs] and curves [steps, outputs]."""
        generator = torch.Generator().manual_seed(self.seed)
        spikes = poisson(torch.full((self.steps, 1), 50.0), self.inputs, generator)
        period = torch.tensor([1000.0, 500.0, 333.0, 200.0])
        a = 0.5 + 1.5 * torch.rand(4, self.outputs, generator=generator)
        φ = 2 * math.pi * torch.rand(4, self.outputs, generator=generator)
        t = torch.arange(self.steps).view(-1, 1, 1)
        y = (a * torch.sin(2 * math.pi * t / period.view(4, 1) + φ)).sum(1)
        return spikes, y / y.abs().amax(0)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        spikes, y = self.pattern
        x = spikes.unsqueeze(1).repeat(1, n, 1)
        if self.drop:
            x *= torch.rand(x.shape, generator=generator) >= self.drop
        return x, y.unsqueeze(1).repeat(1, n, 1)
