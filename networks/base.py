"""The network contract: one step, a window of steps, and what comes out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn


class Step(NamedTuple):
    """What one time step shows."""

    output: Tensor
    """[batch, outputs]."""
    spikes: tuple[Tensor, ...]
    """[batch, size] of each layer."""


class Window(NamedTuple):
    """What a window of time steps shows."""

    outputs: Tensor
    """[steps, batch, outputs]."""
    spikes: tuple[Tensor, ...]
    """[steps, batch, size] of each layer."""
    state: Any
    """After the last step."""


class Stepper(Protocol):
    """Steps that are each cut off from the state before, and their gradients, without a graph."""

    def step(self, x: Tensor) -> Tensor:
        """The output [batch, outputs] of the next step's x [batch, inputs]."""
        ...

    def gradient(self, δy: Tensor) -> None:
        """Of the last step, from what reads its output: hang it on `.grad` of all that is learnt."""
        ...


class Network(nn.Module):
    """Synapses, neurons and readout.

    A network is registered with `@network("name")`; it takes `inputs`, `outputs`, `neuron` (a function from a size to
    a layer of neurons) and keyword-only options.
    """

    spiking: bool = True
    """Whether its layers send spikes; those of ordinary recurrent cells have no firing rate."""
    mixes_samples: bool = False
    """Whether one sample's state depends on the others of its batch, as under batch normalisation."""

    @abstractmethod
    def initial_state(self, batch: int) -> Any:
        """State before the first step: nested tuples of tensors [batch, ...] and integers (a count of steps)."""

    @abstractmethod
    def forward(self, x: Tensor, state: Any) -> tuple[Step, Any]:
        """One step: x [batch, inputs]."""

    @abstractmethod
    def unroll(self, x: Tensor, state: Any) -> Window:
        """A window, x [steps, batch, inputs]: the same numbers as `forward` step by step, faster."""

    def stepper(self, state: Any, gradients: Mapping[Tensor, Tensor]) -> Stepper | None:
        """Its steps from this state on, for a rule that lets no gradient pass from one to the next; None where they are
        to be taken by `unroll`.

        Args:
            gradients: where those of what is learnt go, by parameter.
        """
        return None


def detached(state: Any) -> Any:
    """The same state cut off from the graph that made it."""
    return mapped(Tensor.detach, state)


def mapped(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """The state with every tensor replaced by what the function makes of it, in the order of `tensors`."""
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, int):
        return state
    parts = [mapped(function, part) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)


def tensors(state: Any) -> list[Tensor]:
    """The tensors of a state, in a fixed order."""
    found: list[Tensor] = []
    mapped(lambda tensor: found.append(tensor) or tensor, state)
    return found
