"""A neuron's step from a state that is held constant, and its gradient, on buffers that all steps share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from throughtime.neurons.base import Neuron

AnyStep = TypeVar("AnyStep", bound="NeuronOneStep")


class Gradients:
    """The memory for the gradients of parameters; a fixed parameter has a dummy buffer."""

    def __init__(self, places: Mapping[Tensor, Tensor]) -> None:
        self.places = places

    def of(self, parameter: Tensor) -> Tensor:
        return self.places[parameter] if parameter in self.places else torch.empty_like(parameter)


class DoubleBuffered:
    """A step and its gradient as compiled loops on double-buffered state, bound once for each of the two buffers."""

    def __init__(self) -> None:
        self._bound: list[tuple[Callable[[], Any], Callable[[], Any]]] = []

    def add_buffer(self, step: Callable[[], Any], gradient: Callable[[], Any]) -> None:
        """Add the bound loops of the next buffer, first those of buffer 0."""
        self._bound.append((step, gradient))

    def step(self, now: int) -> None:
        """Compute the state in buffer `now` from the previous state and the inputs of the step."""
        self._bound[now][0]()

    def gradient(self, now: int) -> None:
        """Compute the gradients of the inputs and parameters of the step from those of its results."""
        self._bound[now][1]()


class NeuronOneStep(DoubleBuffered):
    """The step of one layer, and its gradient from δz_t and δv_t, a loop each.

    The state has two buffers, 0 and 1: a step reads buffer 1 − now and writes buffer `now`, and the gradient of the
    step reads both. The first step writes buffer 0. `single_step_for` registers the single steps of a neuron.

    Args:
        I: the memory of the currents, [batch, currents · size].
        state: the state before the first step.

    Attributes:
        v, z: the two buffers of each, [batch, size].
        δz, δv: memory for the gradients from the readers of z_t and v_t; 0 if there are none.
        δI: memory for the gradient of the currents.
    """

    def __init__(self, I: Tensor, state: Any) -> None:
        super().__init__()
        slots = [torch.stack((torch.empty_like(s), s)).unbind(0) for s in state]
        self._turns = [type(state)(*of_turn) for of_turn in zip(*slots, strict=True)]
        self.v, self.z = ([getattr(turn, name) for turn in self._turns] for name in ("v", "z"))
        self.δz, self.δv = torch.zeros_like(state.z), torch.zeros_like(state.v)
        self.δI = torch.empty_like(I)

    def turns(self) -> Iterator[tuple[Any, Any]]:
        """Yield the state that a step writes and the previous state, for each of the two buffers."""
        yield self._turns[0], self._turns[1]
        yield self._turns[1], self._turns[0]


SINGLE_STEPS: dict[type[Neuron], type[NeuronOneStep]] = {}
"""The registered single steps, by neuron class."""


def single_step_for(neuron: type[Neuron]) -> Callable[[type[AnyStep]], type[AnyStep]]:
    """Register the decorated class as the single steps of this neuron class."""

    def register(single_step: type[AnyStep]) -> type[AnyStep]:
        SINGLE_STEPS[neuron] = single_step
        return single_step

    return register
