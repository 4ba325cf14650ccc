"""Tasks of online learning: dependencies at two lags, another network's output, a periodic curve."""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import Annotated, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from throughtime.datasets.base import computed
from throughtime.datasets.generated import SEEDS, Generated
from throughtime.datasets.task import Distribution, Regression, Task
from throughtime.registry import dataset

Number = TypeVar("Number", float, Tensor)


def entropy(p: float) -> float:
    """Return −p log p − (1 − p) log(1 − p), the entropy of a coin in nats."""
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


def probability(near: Number, far: Number) -> Number:
    """Return p_t of `add_dependencies` for the symbols at the two lags."""
    return 0.5 + 0.5 * near - 0.25 * far


def add_level(near: bool, far: bool) -> float:
    """Return the least cross-entropy on `add_dependencies`, in nats, for a prediction from the symbols at some lags.

    Args:
        near: whether the prediction knows the symbol at the shorter lag.
        far: whether it knows the symbol at the longer lag.
    """
    known = itertools.product((0.0, 1.0) if near else (0.5,), (0.0, 1.0) if far else (0.5,))
    levels = [entropy(probability(*symbols)) for symbols in known]  # p is linear: the mean symbol gives the mean p
    return sum(levels) / len(levels)


@dataset("add_dependencies")
class AddDependencies(Generated):
    """Predict a coin whose bias depends on two earlier coins: a distribution over 2 classes at each step.

        x_t = (c_k, 1 − c_k),   c_k ~ Bernoulli(1/2),   k = ⌊t / hold⌋
        y_t = (p_k, 1 − p_k),   p_k = 0.5 + 0.5 c_{k − near} − 0.25 c_{k − far}

    The cross-entropy of the best prediction, in nats, shows which dependencies a network has learnt: 0.6616 without
    any (the chance level), 0.6277 with the longer lag alone, 0.5192 with the shorter alone, 0.4545 with both
    (`add_level`). A sequence is a part of a stream: labels of its first steps depend on symbols before it.

    Args:
        steps: T.
        near: the shorter lag, in symbols.
        far: the longer lag, in symbols.
        hold: steps of a symbol and its label.
        sequences, held_out: as in `Generated`.

    Source: Pitis 2016 (the task), in the form of Marschall, Cho and Savin 2020 ("Add"). In their code the lags are
    n − 1: n = (6, 10) for a network with α = 1, and (5, 7) with two steps a symbol for α = 1/2.
    """

    inputs = outputs = 2

    def __init__(
        self,
        *,
        steps: PositiveInt = 10_000,
        near: PositiveInt = 5,
        far: PositiveInt = 9,
        hold: PositiveInt = 1,
        sequences: PositiveInt = 1,
        held_out: PositiveInt = 1,
    ) -> None:
        super().__init__(sequences, held_out)
        if near >= far:
            raise ValueError("near must be less than far")
        self.steps, self.near, self.far, self.hold = steps, near, far, hold
        self.task = Distribution(chance=add_level(near=False, far=False), per_step=True)

    @classmethod
    def tiny(cls) -> AddDependencies:
        """Return 20 steps, lags of 1 and 3 symbols of 2 steps; 36 training, 10 validation and 10 test sequences."""
        return cls(steps=20, near=1, far=3, hold=2, sequences=36, held_out=10)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        symbols = -(-self.steps // self.hold)
        c = torch.randint(2, (self.far + symbols, n), generator=generator).bool()
        now, near, far = (c[self.far - lag :][:symbols] for lag in (0, self.near, self.far))
        p = probability(near.float(), far.float())
        x, y = torch.stack((now, ~now), 2), torch.stack((p, 1 - p), 2)
        x, y = (signal.repeat_interleave(self.hold, 0)[: self.steps] for signal in (x, y))
        return x, y


class Teacher(NamedTuple):
    """The weights of the network that `mimic` imitates."""

    W: NDArray[np.float64]
    R: NDArray[np.float64]
    c: NDArray[np.float64]
    W_out: NDArray[np.float64]
    c_out: NDArray[np.float64]


@dataset("mimic")
class Mimic(Generated):
    """Reproduce the output of a random recurrent network from its input: numbers at each step.

        x_t ~ Bernoulli(1/2)^inputs
        a_t = (1 − α) a_{t−1} + α tanh(W x_t + R a_{t−1} + c),   a_{−1} = 0,    y_t = W_out a_t + c_out
        W ~ N(0, 1/inputs),   R orthogonal,   W_out ~ N(0, 1/units),   c, c_out ~ N(0, 0.1²)

    A network of the same kind and size can solve the task exactly. The chance level, the error of a constant, is the
    variance of the outputs in the test split.

    Args:
        steps: T.
        alpha: α.
        units: number of units of the random network.
        inputs: its inputs.
        outputs: its outputs.
        teacher: seed of its weights.
        sequences, held_out: as in `Generated`.

    Source: Marschall, Cho and Savin 2020.
    """

    def __init__(
        self,
        *,
        steps: PositiveInt = 10_000,
        alpha: Annotated[float, Field(gt=0, le=1)] = 1.0,
        units: PositiveInt = 32,
        inputs: PositiveInt = 32,
        outputs: PositiveInt = 32,
        teacher: Annotated[int, Field(ge=0, lt=2**32)] = 0,
        sequences: PositiveInt = 1,
        held_out: PositiveInt = 1,
    ) -> None:
        super().__init__(sequences, held_out)
        self.steps, self.alpha, self.units, self.seed = steps, alpha, units, teacher
        self.inputs, self.outputs = inputs, outputs

    @classmethod
    def tiny(cls) -> Mimic:
        """Return 20 steps, 8 inputs, 4 units, 2 outputs; 36 training, 10 validation and 10 test sequences."""
        return cls(steps=20, units=4, inputs=8, outputs=2, sequences=36, held_out=10)

    @computed
    def task(self) -> Task:
        _, y = self.draw(self.held_out, torch.Generator().manual_seed(SEEDS["test"]))
        return Regression(chance=float(y.flatten(0, 1).var(0, unbiased=False).mean()), per_step=True)

    @cached_property
    def teacher(self) -> Teacher:
        """The weights, which depend on the seed and the sizes alone."""
        random = np.random.default_rng(self.seed)
        R, _ = np.linalg.qr(random.standard_normal((self.units, self.units)))
        return Teacher(
            W=random.standard_normal((self.units, self.inputs)) / math.sqrt(self.inputs),
            R=R,
            c=0.1 * random.standard_normal(self.units),
            W_out=random.standard_normal((self.outputs, self.units)) / math.sqrt(self.units),
            c_out=0.1 * random.standard_normal(self.outputs),
        )

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        W, R, c, W_out, c_out = self.teacher
        x = torch.randint(2, (self.steps, n, self.inputs), generator=generator).bool()
        drive, a = x.numpy() @ W.T + c, np.zeros((n, self.units))
        states = np.empty((self.steps, n, self.units))
        for t in range(self.steps):
            a = (1 - self.alpha) * a + self.alpha * np.tanh(drive[t] + a @ R.T)
            states[t] = a
        return x, torch.tensor(states @ W_out.T + c_out, dtype=torch.float32)


@dataset("periodic_target")
class PeriodicTarget(Generated):
    """Produce a curve without input, from the network's initial state alone: a number at each step but the first.

        x_t = σ ξ_t,   ξ_t ~ N(0, 1)
        y_t = sin(2π t / T) + 1/2 sin(4π t / T) + 1/4 sin(8π t / T),    t = 1 ... T − 1

    A constant prediction of the mean, 0, has an error of 21/32 · T / (T − 1), the variance of the curve. In the form of
    the source σ = 0, and there is a single sequence, so that generalisation is not tested.

    Args:
        steps: T.
        noise: σ; with noise, sequences differ from each other.
        sequences, held_out: as in `Generated`.

    Source: Murray 2019, RFLO_Example.ipynb, with T = 100.
    """

    inputs = outputs = 1

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(ge=9)] = 100,
        noise: NonNegativeFloat = 0.0,
        sequences: PositiveInt = 1,
        held_out: PositiveInt = 1,
    ) -> None:
        super().__init__(sequences, held_out)
        self.steps, self.noise = steps, noise
        self.task = Regression(chance=21 / 32 * steps / (steps - 1), per_step=True)

    @classmethod
    def tiny(cls) -> PeriodicTarget:
        """Return 20 steps with noise of 0.1; 36 training, 10 validation and 10 test sequences."""
        return cls(steps=20, noise=0.1, sequences=36, held_out=10)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.zeros(self.steps, n, 1)
        if self.noise:
            x = self.noise * torch.randn(x.shape, generator=generator)
        phase = 2 * math.pi * torch.arange(self.steps, dtype=torch.float64) / self.steps
        y = torch.sin(phase) + torch.sin(2 * phase) / 2 + torch.sin(4 * phase) / 4
        y[0] = math.nan
        return x, y.float().view(-1, 1, 1).repeat(1, n, 1)
