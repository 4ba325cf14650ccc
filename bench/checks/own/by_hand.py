"""A dataset, a network and a rule whose results are worked out by hand, for the facts of the protocol.

Sequence i = 1, 2, 3 has the input i at each of T steps, −i on the validation split. The network adds the inputs up and
multiplies the sum by its only weight w, so its last output is w s with s = T i, or −w s. The target of each sequence is
s, and the errors are

    (w − 1)² S on the test split,     (w + 1)² S on the validation split,     S = mean of s² = 14 T² / 3

`Script` sets w to given numbers, one in each batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.algorithms.base import Claims, LearningRule, Observation
from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Metric, Regression
from throughtime.networks.base import Network, Step, Window
from throughtime.spec import ComponentSpec, RunSpec, Training


def mean_square(steps: int) -> float:
    """Return S."""
    return 14 * steps**2 / 3


class Gain(Regression):
    """Regression whose metric is the negative error: higher is better."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.metric = Metric("gain", "1", True)

    def score(self, outputs: Tensor, target: Tensor) -> Tensor:
        return -super().score(outputs, target)


class CountedSequences(Dataset):
    """The sequences 1 ... n of the module's docstring.

    Args:
        task: the squared error if left out.
        steps: T.
        n: number of sequences of each split.

    Attributes:
        orders: the random orders in which the sequences were drawn.
    """

    inputs = outputs = 1

    def __init__(self, task: Regression | None = None, steps: int = 2, n: int = 3) -> None:
        self.task, self.steps, self.n = task or Regression(1.0), steps, n
        self.orders: list[list[float]] = []

    @classmethod
    def tiny(cls) -> CountedSequences:
        return cls()

    def size(self, split: Split) -> int:
        return self.n

    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        i = torch.arange(1.0, self.n + 1)
        if generator is not None:
            i = i[torch.randperm(self.n, generator=generator)]
            self.orders.append(i.tolist())
        for part in i.split(batch):
            x = -part if split == "validation" else part
            yield Batch(x.expand(self.steps, -1)[..., None], self.steps * part[:, None])

    def sha256(self) -> None:
        return None


class SumState(NamedTuple):
    """The sum of the inputs so far, [batch, 1]."""

    s: Tensor


class Sum(Network):
    """y_t = w Σ x, and two layers of one neuron each: the first spikes where w x_t > 0.8, the second where w x_t > 1.2.

    Args:
        in_training: number that is added to the outputs in train mode, as an effect of dropout or of batch statistics.
        noise: the initial sum is random, uniform between 0 and this number.
    """

    def __init__(self, in_training: float = 0.0, noise: float = 0.0) -> None:
        super().__init__()
        self.w, self.in_training, self.noise = nn.Parameter(torch.tensor([0.5])), in_training, noise

    def initial_state(self, batch: int) -> SumState:
        return SumState(self.noise * torch.rand(batch, 1))

    def forward(self, x: Tensor, state: SumState) -> tuple[Step, SumState]:
        window = self.unroll(x[None], state)
        return Step(window.outputs[0], tuple(z[0] for z in window.spikes)), window.state

    def unroll(self, x: Tensor, state: SumState) -> Window:
        sums = torch.cat((state.s[None], x)).cumsum(0)[1:]
        y = self.w * sums + (self.in_training if self.training else 0.0)
        return Window(y, tuple((self.w * x > θ).to(x.dtype) for θ in (0.8, 1.2)), SumState(sums[-1]))


class Script(LearningRule):
    """A rule that sets w to the next of the given numbers at each update, by SGD with a rate of 1. It learns nothing.

    Its windows have one step, and its loss in each step is the number to which it sets w. The mean of the network's
    initial state, which is 0 without noise, is added to w.
    """

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(self, *weights: float) -> None:
        self.weights = list(weights)

    def window(self, steps: int) -> int:
        return 1

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        w: Any = self.network.w
        loss = self.weights[0]
        if t + 1 == self.steps:
            w.grad = w.detach() - self.weights.pop(0) - self.state.s.mean()
            self.update()
        return torch.tensor(loss)


class WithOwnWeight(Script):
    """The same with a trained parameter b of its own, whose gradient is 1 at each update. It observes b."""

    def start(self, network: Network, task: Any, steps: int) -> None:
        super().start(network, task, steps)
        self.b = nn.Parameter(torch.zeros(1))

    def parameters(self) -> tuple[nn.Parameter]:
        return (self.b,)

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        self.b.grad = torch.ones(1)
        return super().learn(x, target, t)

    def end_epoch(self) -> dict[str, Observation]:
        return {"b": Observation(self.b.item(), "1", "after the last update")}


class Reports(LearningRule):
    """A rule that reports the given losses, one a window of one step, and learns nothing."""

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(self, *losses: float | None) -> None:
        self.reports = losses

    def window(self, steps: int) -> int:
        return 1

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        self.apply_update = update

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor | None:
        loss = self.reports[t]
        return None if loss is None else torch.tensor(loss, dtype=torch.float64)


def spec(epochs: int, replicate: int = 0, batch: int = 3, **training: Any) -> RunSpec:
    """Return the spec of a training by `Script`, with one update an epoch if a batch holds all sequences.

    Its components have options other than their defaults; those that build a run from them are tested, too.
    """

    def named(name: str, **options: Any) -> ComponentSpec:
        return ComponentSpec(name=name, options=options, label=name)

    settings: dict[str, Any] = {"optimiser": "sgd", "learning_rate": 1.0, "clip": None} | training
    return RunSpec(
        suite="by hand",
        scale="tiny",
        rule=named("tbptt", window=3),
        neuron=named("lif", tau=7.0),
        network=named("recurrent", hidden=[6]),
        dataset=named("digits", steps=8),
        training=Training(epochs=epochs, batch=batch, **settings),
        passes=["train"],
        replicate=replicate,
        seed=5,
    )
