"""The network contract: one step, a window of steps, and what comes out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from throughtime.numerics.trees import Tree, last, rows


class Step(NamedTuple):
    """Output and spikes of one time step."""

    output: Tree
    """[batch, outputs], or a tree of such tensors where there are several readouts."""
    spikes: tuple[Tensor, ...]
    """[batch, size] of each layer."""


class Window(NamedTuple):
    """Outputs, spikes and last state of a window of time steps."""

    outputs: Tree
    """[steps, batch, outputs], or a tree of such tensors where there are several readouts."""
    spikes: tuple[Tensor, ...]
    """[steps, batch, size] of each layer."""
    state: Any
    """After the last step."""

    def last(self) -> Tree:
        """Return the outputs of the last step, [batch, outputs]."""
        return last(self.outputs)

    def steps(self) -> Tree:
        """Return the outputs of all steps, a row for each step and sequence, [steps · batch, outputs]."""
        return rows(self.outputs)


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
