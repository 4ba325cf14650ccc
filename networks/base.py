"""The network contract: its layers as data, one step, and a window of steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from throughtime.networks.layer import Layer
from throughtime.networks.readout import Readout
from throughtime.numerics.trees import Tree, last, rows


class Step(NamedTuple):
    """Output and spikes of one time step."""

    output: Tree
    """[batch, outputs]; of a network with several readouts a dict of such tensors, by the readouts' names."""
    spikes: tuple[Tensor, ...]
    """[batch, *shape] of each layer."""


class Window(NamedTuple):
    """Outputs, spikes and last state of a window of time steps."""

    outputs: Tree
    """[steps, batch, outputs]; of a network with several readouts a dict of such tensors, by the readouts' names."""
    spikes: tuple[Tensor, ...]
    """[steps, batch, *shape] of each layer."""
    state: Any
    """State after the last step."""

    def last(self) -> Tree:
        """Return the outputs of the last step, [batch, outputs]."""
        return last(self.outputs)

    def steps(self) -> Tree:
        """Return the outputs of all steps, a row for each step and sequence, [steps · batch, outputs]."""
        return rows(self.outputs)


class Stepper(Protocol):
    """Steps whose state before is held constant, and their gradients, without a graph."""

    def step(self, x: Tensor) -> Tensor:
        """The output [batch, outputs] of the next step's x [batch, inputs]."""
        ...

    def gradient(self, δy: Tensor) -> None:
        """Add to `.grad` of the trained parameters, from the gradient δy by the last step's output."""
        ...


class Network(nn.Module):
    """Synapses, neurons and readouts.

    A network is registered with `@network("name")`; it takes the shapes `inputs` and `outputs`, `neuron` (a function
    from a shape to a layer of neurons) and keyword-only options.

    Attributes:
        layers: in the order in which a step computes them; empty if the network does not describe itself.
        readouts: likewise.
    """

    spiking: bool = True
    """Whether its layers send spikes; those of ordinary recurrent cells have no firing rate."""
    mixes_samples: bool = False
    """Whether one sample's state depends on the others of its batch, as under batch normalisation."""

    layers: Sequence[Layer]
    readouts: Sequence[Readout]

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.readouts = (), ()

    @property
    def described(self) -> bool:
        """Whether `layers` and `readouts` define all that a step does, and the state is a `RecurrentState`. Rules and
        measures that need to know the structure then use them; a check holds them to `forward`."""
        return len(self.layers) > 0 and all(isinstance(layer, Layer) for layer in self.layers)

    @abstractmethod
    def initial_state(self, batch: int) -> Any:
        """State before the first step: nested tuples and dicts of tensors [batch, ...] and integers (a count of
        steps)."""

    @abstractmethod
    def forward(self, x: Tensor, state: Any) -> tuple[Step, Any]:
        """One step: x [batch, *inputs]."""

    @abstractmethod
    def unroll(self, x: Tensor, state: Any) -> Window:
        """A window, x [steps, batch, *inputs]: the same numbers as `forward` step by step, faster."""

    def stepper(self, state: Any, gradients: Mapping[Tensor, Tensor]) -> Stepper | None:
        """Its steps from this state on, for a rule that lets no gradient pass from one step to the next; None where
        `unroll` must take them.

        Args:
            gradients: of each trained parameter, the memory for its gradient.
        """
        return None
