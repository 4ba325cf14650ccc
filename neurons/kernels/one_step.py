"""A neuron's step from a state that is held constant, and its gradient, in memory that is there for all steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from throughtime.neurons.base import Neuron

AnyStep = TypeVar("AnyStep", bound="NeuronOneStep")


class Gradients:
    """Where the gradients of parameters go; what is not learnt has a place too, which nobody reads."""

    def __init__(self, places: Mapping[Tensor, Tensor]) -> None:
        self.places = places

    def of(self, parameter: Tensor) -> Tensor:
        return self.places[parameter] if parameter in self.places else torch.empty_like(parameter)


class InTurns:
    """A step, and the gradient of that step, as loops that are bound for turn 0 and for turn 1."""

    def __init__(self) -> None:
        self._bound: list[tuple[Callable[[], Any], Callable[[], Any]]] = []

    def add_turn(self, step: Callable[[], Any], gradient: Callable[[], Any]) -> None:
        """First those of turn 0."""
        self._bound.append((step, gradient))

    def step(self, now: int) -> None:
        """From the state before, and from what the step reads, the state now."""
        self._bound[now][0]()

    def gradient(self, now: int) -> None:
        """From the gradients of what the step made, those of what it read and of what is learnt."""
        self._bound[now][1]()


class NeuronOneStep(InTurns):
    """One layer's step and the gradient of what reads z_t and v_t, a loop each.

    A state has two slots that take turns: in turn `now`, 0 or 1, a step reads slot 1 − now and writes slot now, and the
    gradient of that step reads both. The first turn is 0. A neuron gets single steps by
    `single_step_for`.

    Args:
        I: where currents are found, [batch, currents · size].
        state: before the first step.

    Attributes:
        v, z: the slots, [batch, size] each.
        δz, δv: what reads them leaves there, 0 where nothing does.
        δI: where the gradient is found.
    """

    def __init__(self, I: Tensor, state: Any) -> None:
        super().__init__()
        slots = [torch.stack((torch.empty_like(s), s)).unbind(0) for s in state]
        self._turns = [type(state)(*of_turn) for of_turn in zip(*slots, strict=True)]
        self.v, self.z = ([getattr(turn, name) for turn in self._turns] for name in ("v", "z"))
        self.δz, self.δv = torch.zeros_like(state.z), torch.zeros_like(state.v)
        self.δI = torch.empty_like(I)

    def turns(self) -> Iterator[tuple[Any, Any]]:
        """Of both turns: the state that is written, and the one before it."""
        yield self._turns[0], self._turns[1]
        yield self._turns[1], self._turns[0]


SINGLE_STEPS: dict[type[Neuron], type[NeuronOneStep]] = {}
"""The single steps of each neuron class that has them."""


def single_step_for(neuron: type[Neuron]) -> Callable[[type[AnyStep]], type[AnyStep]]:
    """Register the decorated class as the single steps of this neuron class."""

    def register(single_step: type[AnyStep]) -> type[AnyStep]:
        SINGLE_STEPS[neuron] = single_step
        return single_step

    return register
