"""Networks and batches on which the gradients of rules are compared with autograd's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule, LossAt
from throughtime.checks import spiking, tiny
from throughtime.datasets.task import Classification, Task
from throughtime.harness.learner_checks import supported
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import NEURONS


class Loud(Classification):
    """Classification whose loss is so large that a rule which clips its gradients gives others than autograd."""

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return 1e6 * super().loss(outputs, target)


class Case(NamedTuple):
    """A network and a batch, on which the gradient of a rule is compared with autograd's."""

    name: str
    """Name of the neuron."""
    network: Recurrent
    batch: tuple[Tensor, Tensor]
    before: tuple[Tensor, Tensor]
    """A batch that the rule learns before, of which nothing may remain."""
    task: Task
    is_first: bool = False
    """Whether the case is the first of several that differ in their neurons alone: it takes the long measurements."""

    @property
    def losses(self) -> tuple[LossAt, ...]:
        """Return the losses that a rule may minimise: with targets at steps that of all steps alone."""
        return ("every",) if self.task.per_step else ("end", "every")

    def exact(self, loss_at: LossAt) -> tiny.Gradients:
        """Return BPTT's gradient."""
        return tiny.backprop(self.network, *self.batch, self.task, loss_at)

    def shown(self) -> str:
        """Return the case in words: neuron, layers, steps, batch."""
        (x, _), sizes = self.batch, [layer.neuron.size for layer in self.network.layers]
        layers = "1 layer" if len(sizes) == 1 else f"{len(sizes)} layers"
        return f"{self.name}, {layers}, {len(x)} steps, batch {x.shape[1]}{', a target each step' * self.task.per_step}"


def cases(rule: LearningRule) -> list[Case]:
    """Return the `small_cases`, and, with LIF or the first neuron that the rule supports alone, two layers with more
    steps and samples, with targets at steps and with one target, and with a readout with memory and without."""
    small = small_cases(rule)
    return [*small, *large_cases(rule, [case.name for case in small])] if tiny.is_tiny() else small


def small_cases(rule: LearningRule) -> list[Case]:
    """Return one layer of each of the `representatives` that the rule supports."""
    task = Classification(tiny.CLASSES)
    return [
        Case(name, network, tiny.sequence(), tiny.sequence(seed=17), task) for name, network in tiny.supporting(rule)
    ]


LONG, WIDE = 70, 19
"""Steps and samples of the large cases."""


def large_cases(rule: LearningRule, names: Sequence[str]) -> Iterator[Case]:
    """Yield the large cases with LIF, or with the first of these neurons if LIF is not among them."""
    for neuron in sorted(names, key=lambda name: name != "lif")[:1]:
        for per_step, options in ((True, {}), (False, {"readout": "membrane", "readout_tau": 0.0})):
            task = Loud(tiny.CLASSES, per_step)
            with tiny.sized(tiny.Size(LONG, WIDE, tiny.SIZE)):
                batch, before = (wide(seed, per_step) for seed in (7, 17))
            for hidden in ([6, 5], [6]):  # a rule may be one of single layers
                network = tiny.recurrent(NEURONS[neuron], hidden=hidden, **options)
                if supported(rule, network, task, LONG) is None:
                    spiking.enliven(network, batch[0])
                    yield Case(neuron, network, batch, before, task)
                    break


def wide(seed: int, per_step: bool) -> tuple[Tensor, Tensor]:
    """Return x and classes of the large cases; some steps have no target, but the last ones have."""
    x, target = tiny.sequence(seed=seed)
    if per_step:
        generator = torch.Generator().manual_seed(seed + 1)
        target = torch.randint(-1, tiny.CLASSES, (LONG, WIDE), generator=generator)
        target[-2:] = target[-2:].clamp(min=0)
    return x, target
