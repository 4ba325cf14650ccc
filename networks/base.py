"""The network contract: layers as data, one step, and a window of steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from throughtime.networks.layer import Layer
from throughtime.networks.readout import Readout
from throughtime.numerics.trees import Tree, last, rows


class Step(NamedTuple):
    """Output and spikes of one time step."""

    output: Tree
    """[batch, outputs]; for a network with several readouts a dict of such tensors, by the readouts' names."""
    spikes: tuple[Tensor, ...]
    """[batch, *shape] for each layer."""


class Window(NamedTuple):
    """Outputs, spikes and last state of a window of time steps."""

    outputs: Tree
    """[steps, batch, outputs]; for a network with several readouts a dict of such tensors, by the readouts' names."""
    spikes: tuple[Tensor, ...]
    """[steps, batch, *shape] for each layer."""
    state: Any
    """State after the last step."""

    def last(self) -> Tree:
        """Return the outputs of the last step, [batch, outputs]."""
        return last(self.outputs)

    def steps(self) -> Tree:
        """Return the outputs of all steps, a row for each step and sequence, [steps · batch, outputs]."""
        return rows(self.outputs)


class Stepper(Protocol):
    """Single steps and their gradients without a graph; each step takes the previous state as a constant."""

    def step(self, x: Tensor) -> Tensor:
        """Take the next step with x [batch, inputs]; return its output [batch, outputs]."""
        ...

    def gradient(self, δy: Tensor) -> None:
        """Add the gradient of the last step to `.grad` of the trained parameters; δy is the gradient of its output."""
        ...


class Network(nn.Module):
    """Synapses, neurons and readouts.

    A network is registered with `@network("name")`; it takes the shapes `inputs` and `outputs`, `neuron` (a function
    from a shape to a layer of neurons) and keyword-only options.

    Attributes:
        layers: the layers, in the order in which a step computes them; empty if the network does not describe itself.
        readouts: the readouts, likewise.
    """

    spiking: bool = True
    """Whether its layers spike; ordinary recurrent cells do not, and have no firing rate."""
    mixes_samples: bool = False
    """Whether the state of a sample depends on other samples of its batch, as with batch normalisation."""
    drops_out: bool = False
    """Whether it has dropout: in training, a step then depends on the key of its state."""

    inputs: int | Sequence[int] | None = None
    """Shape of the inputs of a step, which `tt.build_network` sets; None: not known."""

    layers: Sequence[Layer]
    readouts: Sequence[Readout]

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.readouts = (), ()

    @property
    def described(self) -> bool:
        """Whether `layers` and `readouts` define the step completely, and the state is a `RecurrentState`. Rules and
        measures that depend on the structure use them; `throughtime check` compares them with `forward`."""
        return len(self.layers) > 0 and all(isinstance(layer, Layer) for layer in self.layers)

    @abstractmethod
    def initial_state(self, batch: int) -> Any:
        """Return the state before the first step: nested tuples and dicts of tensors [batch, ...] and integers (a
        number of steps)."""

    @abstractmethod
    def forward(self, x: Tensor, state: Any) -> tuple[Step, Any]:
        """Compute one step from x [batch, *inputs] and the previous state."""

    @abstractmethod
    def unroll(self, x: Tensor, state: Any) -> Window:
        """Compute a window from x [steps, batch, *inputs]: the same numbers as `forward` for each step, but faster."""

    def clear_held(self, gradient_of: Callable[[Tensor], Tensor | None]) -> None:
        """Set the gradients of weights that the network holds at 0 to 0; rules call it before each update.

        Args:
            gradient_of: returns the gradient of a parameter; None if it has none.
        """

    def stepper(self, state: Any, gradients: Mapping[Tensor, Tensor]) -> Stepper | None:
        """Return single steps from this state on, for a rule that propagates no gradient from one step to the previous
        one; None if the network supports only `unroll`.

        Args:
            state: state before the first step.
            gradients: memory for the gradient of each trained parameter.
        """
        return None
