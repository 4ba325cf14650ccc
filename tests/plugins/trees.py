"""Targets and outputs that are no single tensor: keys of a piano at each step, boxes of an image, two heads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from throughtime import dataset, network
from throughtime.datasets.generated import Generated
from throughtime.datasets.task import Metric, Task
from throughtime.networks.base import Network, Step, Window
from throughtime.numerics.trees import entries, mapped

KEYS = 88


class FrameMeter:
    """Negative log-likelihood a step, and the accuracy of Bay, Ehmann and Downie (2009): no mean over rows."""

    def __init__(self) -> None:
        self.nll = self.rows = self.right = self.wrong = 0.0

    def update(self, outputs: Tensor, target: Tensor) -> None:
        self.nll += float(F.binary_cross_entropy_with_logits(outputs, target, reduction="sum"))
        self.rows += len(target)
        self.right += float(((outputs > 0) & (target == 1)).sum())
        self.wrong += float(((outputs > 0) != (target == 1)).sum())

    def compute(self) -> dict[str, float]:
        counted = self.right + self.wrong
        return {"frame_accuracy": self.right / counted if counted else math.nan, "nll": self.nll / self.rows}


class NextChord(Task):
    """The keys that are down in the next step, 0 or 1 each: [n, 88]."""

    metric = Metric("nll", "nat a step", False, KEYS * math.log(2))
    further = (Metric("frame_accuracy", "fraction", True),)
    per_step = True

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, target, reduction="sum") / len(target)

    def meter(self) -> FrameMeter:
        return FrameMeter()


@dataset("chords")
class Chords(Generated):
    """Three keys a step, each of which moves up by one key at the next."""

    inputs = outputs = KEYS
    task = NextChord()

    def __init__(self, *, steps: int = 12) -> None:
        super().__init__(sequences=40, held_out=8)
        self.steps = steps

    @classmethod
    def tiny(cls) -> Chords:
        return cls()

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        first = torch.randint(KEYS, (n, 3), generator=generator)
        keys = (first + torch.arange(self.steps + 1)[:, None, None]) % KEYS
        down = torch.zeros(self.steps + 1, n, KEYS).scatter_(2, keys, 1.0)
        return down[:-1].clone(), down[1:].clone()


class IoUMeter:
    """The mean over sequences of the largest overlap with one of its boxes."""

    def __init__(self) -> None:
        self.overlaps: list[float] = []

    def update(self, outputs: Tensor, target: list[Tensor]) -> None:
        assert len(outputs) == len(target)
        self.overlaps += [float(iou(y, boxes).max()) for y, boxes in zip(outputs, target, strict=True)]

    def compute(self) -> dict[str, float]:
        return {"iou": sum(self.overlaps) / len(self.overlaps)}


def iou(box: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union of a box [4], from its corners, with each of some, [m, 4]."""
    low, high = torch.maximum(box[:2], boxes[:, :2]), torch.minimum(box[2:], boxes[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    box_area, box_areas = (box[2:] - box[:2]).clamp(min=0).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (box_area + box_areas - both)


class OneOfTheBoxes(Task):
    """The nearest of the sequence's boxes; the target is a list of [m, 4], one a sequence."""

    metric = Metric("iou", "fraction", True, 0.0)

    def loss(self, outputs: Tensor, target: list[Tensor]) -> Tensor:
        assert len(outputs) == len(target)
        nearest = [(y - boxes).abs().mean(1).min() for y, boxes in zip(outputs, target, strict=True)]
        return torch.stack(nearest).mean()

    def meter(self) -> IoUMeter:
        return IoUMeter()


@dataset("boxes")
class Boxes(Generated):
    """One to three boxes in the unit square; their corners come one after the other, then nothing."""

    inputs = outputs = 4
    task: Task = OneOfTheBoxes()

    def __init__(self, *, steps: int = 12) -> None:
        super().__init__(sequences=40, held_out=8)
        self.steps = steps

    @classmethod
    def tiny(cls) -> Boxes:
        return cls()

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, list[Tensor]]:
        x, target = torch.zeros(self.steps, n, 4), []
        for i in range(n):
            m = int(torch.randint(1, 4, (), generator=generator))
            low, size = torch.rand(2, m, 2, generator=generator) * 0.5
            target.append(torch.cat((low, low + size), 1))
            x[:m, i] = target[-1]
        return x, target


class TwoMeter:
    """The accuracy of one head and the squared error of the other."""

    def __init__(self) -> None:
        self.right = self.wrong = self.rows = 0.0

    def update(self, outputs: dict[str, Tensor], target: dict[str, Tensor]) -> None:
        self.rows += len(target["kind"])
        self.right += float((outputs["kind"].argmax(1) == target["kind"]).sum())
        self.wrong += float((outputs["sum"] - target["sum"]).square().sum())

    def compute(self) -> dict[str, float]:
        return {"accuracy": self.right / self.rows, "mse": self.wrong / self.rows}


class KindAndSum(Task):
    """Cross-entropy of one head and squared error of the other."""

    metric = Metric("accuracy", "fraction", True, 1 / 3)
    further = (Metric("mse", "1", False),)

    def loss(self, outputs: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(outputs["kind"], target["kind"]) + F.mse_loss(outputs["sum"], target["sum"])

    def meter(self) -> TwoMeter:
        return TwoMeter()


@dataset("two_targets")
class TwoTargets(Generated):
    """Which of three inputs is up in the first step, and the sum of a fourth over all steps."""

    inputs, outputs = 4, 4
    task = KindAndSum()

    def __init__(self, *, steps: int = 12) -> None:
        super().__init__(sequences=40, held_out=8)
        self.steps = steps

    @classmethod
    def tiny(cls) -> TwoTargets:
        return cls()

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        x = torch.zeros(self.steps, n, 4)
        kind = torch.randint(3, (n,), generator=generator)
        x[0].scatter_(1, kind[:, None], 1.0)
        x[:, :, 3] = torch.rand(self.steps, n, generator=generator)
        return x, {"kind": kind, "sum": x[:, :, 3].sum(0)[:, None]}


class HeadsState(NamedTuple):
    """State of the neurons, and the filtered spikes that both heads read."""

    neurons: Any
    trace: Tensor


@network("two_heads")
class TwoHeads(Network):
    """A recurrent layer that two heads read: the outputs are {"kind": [batch, 3], "sum": [batch, 1]}."""

    def __init__(self, inputs: int, outputs: int, neuron: Callable[[int], Any], *, hidden: int = 16) -> None:
        super().__init__()
        self.inward, self.neuron = nn.Linear(inputs, hidden), neuron(hidden)
        self.recurrent = nn.Linear(hidden, hidden, bias=False)
        self.heads = nn.ModuleDict({"kind": nn.Linear(hidden, outputs - 1), "sum": nn.Linear(hidden, 1)})
        self.spiking = self.neuron.spiking

    def initial_state(self, batch: int) -> HeadsState:
        like = self.inward.weight
        return HeadsState(self.neuron.initial_state(batch, like), like.new_zeros(batch, len(like)))

    def forward(self, x: Tensor, state: HeadsState) -> tuple[Step, HeadsState]:
        z, neurons = self.neuron(self.inward(x) + self.recurrent(state.neurons.z), state.neurons)
        trace = 0.9 * state.trace + 0.1 * z
        return Step({name: head(trace) for name, head in self.heads.items()}, (z,)), HeadsState(neurons, trace)

    def unroll(self, x: Tensor, state: HeadsState) -> Window:
        steps = []
        for x_t in entries(x):
            step, state = self(x_t, state)
            steps.append(mapped(lambda y: y[None], step))
        outputs = {name: torch.cat([step.output[name] for step in steps]) for name in self.heads}
        return Window(outputs, (torch.cat([step.spikes[0] for step in steps]),), state)
