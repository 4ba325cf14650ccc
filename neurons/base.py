"""The neuron contract: a pure step from (current, state) to (spikes, state)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

Factor = float | Tensor
"""A partial derivative: a number, or a tensor that broadcasts to [batch, size]. What is the same for all neurons is
given as a number or with a last dimension of 1: rules then keep one trace where they would keep one a neuron. A
derivative by one of several currents a neuron is [batch, currents, size]."""


class Inflow(NamedTuple):
    """Where one input of the step arrives: the current, or a map or parameter of the neuron's own."""

    onto: Mapping[str, Factor]
    """s: ∂s_t / ∂(current, the map's output, the parameter)."""
    presynaptic: Tensor | None = None
    """Of a map: what it reads in this step, [batch, in]."""


class Partials(NamedTuple):
    """The partial derivatives of one step that are not zero, each neuron's on itself.

    They follow the neuron's equations line by line: each variable is made from variables of the step before, from what
    flows in, and from variables of the same step. The variables are those of the State, and any between them that the
    equations name. What the neuron's step holds constant (`stop_gradient`) has no entry.
    """

    before: Mapping[tuple[str, str], Factor]
    """(s, r): ∂s_t / ∂r_{t−1}."""
    now: Mapping[tuple[str, str], Factor]
    """(s, q): ∂s_t / ∂q_t, each q complete before it is used."""
    inflows: Mapping[str, Inflow]
    """`current`, and the name of each map (nn.Linear) and parameter that the neuron learns itself."""


class Neuron(nn.Module):
    """A layer of `size` neurons without its synapses; dt = 1 step.

    A neuron is registered with `@neuron("name")`; it takes `size` and keyword-only options. Its State is a NamedTuple
    of [batch, size] tensors with the fields `v` (membrane after the step, for membrane readouts) and `z` (spikes; of
    a cell that does not spike, what it sends).

    What a neuron learns itself is, if rules are to follow it one neuron at a time, a parameter of shape [size] (one a
    neuron) or [] (one for all), or an nn.Linear with `size` outputs, one a neuron.
    """

    currents: ClassVar[int] = 1
    """Currents a neuron: `forward` takes [batch, currents · size], all first currents first."""
    spiking: ClassVar[bool] = True
    """Whether z is 0 or 1; the cells of ordinary recurrent networks say False, and have no firing rate."""
    elementwise: ClassVar[bool] = False
    """Whether a neuron's step depends on no other neuron of its layer. Then e-prop drops nothing but what goes
    through other neurons, and derivatives are cheap to take; where it is False, rules that follow single neurons keep
    the diagonal of the step's Jacobian only."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    @abstractmethod
    def initial_state(self, batch: int, like: Tensor) -> Any:
        """State before the first step, in the dtype and on the device of `like`."""

    @abstractmethod
    def forward(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: `current` is I_t [batch, currents · size]; returns z_t [batch, size] and the next state."""

    def partials(self, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        """Partial derivatives of the step from `state` under `current` to `next_state`; None where nobody has derived
        them (the rule diagonal_rtrl then takes them by automatic differentiation)."""
        return None
