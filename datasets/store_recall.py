"""Store-recall: remember the value at a store command until the next recall command."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from throughtime.datasets.generated import Generated
from throughtime.datasets.spike_trains import poisson
from throughtime.datasets.task import Classification
from throughtime.registry import dataset

STORE, RECALL = 1, 2


@dataset("store_recall")
class StoreRecall(Generated):
    """Remember a bit at a store command until a recall command: a class per step, 2 classes.

    A sequence has S symbols of D steps of 1 ms. Store and recall commands alternate: at each symbol, the next command
    occurs with probability p. Each symbol without a recall command shows a random bit. Four groups of neurons send
    Poisson spikes: two for the values 0 and 1 of the bit, one for a store and one for a recall command.

        rate of a group during its symbols: 50 Hz; otherwise 0
        target in the steps of a recall command: the bit of the last store command; other steps have no label, −1

    The first command is a store, the last one a recall, and no recall follows a store at the next symbol; the authors
    draw sequences until one is of this kind, here only such sequences are drawn, with the same probabilities. T = S D,
    2400 with the defaults, which are those of the authors' published code.

    Args:
        symbols: S.
        duration: D, steps of each symbol.
        probability: p; 1/p symbols are the mean distance between two commands.
        rate: rate of an active group, in Hz.
        group: neurons in each of the 4 groups.
        sequences, held_out: as in `Generated`. An iteration of the authors' code is a batch of 128.

    Source: Bellec et al., Long short-term memory and learning-to-learn in networks of spiking neurons, NeurIPS (2018),
    and their code (IGITUGraz/LSNN-official), which judges the mean output of each recall symbol.
    """

    outputs = 2

    def __init__(
        self,
        *,
        symbols: Annotated[int, Field(ge=3)] = 12,
        duration: PositiveInt = 200,
        probability: Annotated[float, Field(gt=0, lt=1)] = 1 / 7,
        rate: PositiveFloat = 50.0,
        group: PositiveInt = 25,
        sequences: PositiveInt = 1280,
        held_out: PositiveInt = 128,
    ) -> None:
        super().__init__(sequences, held_out)
        self.symbols, self.duration, self.probability = symbols, duration, probability
        self.rate, self.group = rate, group
        self.steps, self.inputs = symbols * duration, 4 * group
        self.task = Classification(self.outputs, per_step=True)

    @classmethod
    def tiny(cls) -> StoreRecall:
        """Return 5 symbols of 6 steps; 36 training, 10 validation and 10 test sequences."""
        return cls(symbols=5, duration=6, probability=0.4, rate=200.0, group=5, sequences=36, held_out=10)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        command = self._commands(n, generator)
        bit = torch.randint(2, command.shape, generator=generator)
        target = torch.full_like(bit, -1)
        stored = bit[0]
        for k in range(self.symbols):
            stored = torch.where(command[k] == STORE, bit[k], stored)
            target[k] = torch.where(command[k] == RECALL, stored, -1)
        shown = command != RECALL
        active = torch.stack((shown & (bit == 0), shown & (bit == 1), command == STORE, command == RECALL), 2)
        rate = (active * self.rate).repeat_interleave(self.duration, 0)
        return poisson(rate, self.group, generator), target.repeat_interleave(self.duration, 0)

    def _commands(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw the commands of n sequences, [symbols, n]: 0 for none, `STORE` or `RECALL`.

        The commands are a Markov chain on the states: none so far, a store at this symbol, a store before it, a recall
        was the last. Each step is drawn with the probability that the sequence can still end after a recall, so that no
        sequence need be drawn again.
        """
        p = self.probability
        A = torch.tensor([[1 - p, p, 0, 0], [0, 0, 1 - p, 0], [0, 0, 1 - p, p], [0, p, 0, 1 - p]], dtype=torch.float64)
        valid = [torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)]  # up to a factor, last symbol first
        for _ in range(self.symbols - 1):
            before = A @ valid[-1]
            valid.append(before / before.sum())
        state, command = torch.zeros(n, dtype=torch.long), torch.zeros(self.symbols, n, dtype=torch.long)
        for command_k, valid_k in zip(command, reversed(valid), strict=True):
            after = torch.multinomial(A[state] * valid_k, 1, generator=generator)[:, 0]
            command_k[after == 1] = STORE
            command_k[(state == 2) & (after == 3)] = RECALL
            state = after
        return command
