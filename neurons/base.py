"""The neuron contract: a pure step from (current, state) to (spikes, state)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

Factor = float | Tensor
"""A partial derivative: a number, or a tensor that broadcasts to [batch, size]. What is the same for all neurons is
given as a number or with a last dimension of 1: rules then keep one trace where they would keep one a neuron."""


class Partials(NamedTuple):
    """The partial derivatives of one step that are not zero, each neuron's on itself.

    Spikes that other neurons send, and the reset, are constants here; what a neuron's own spike does inside its
    state (adaptation) is not. State variables are named as in the neuron's State.
    """

    state: Mapping[tuple[str, str], Factor]
    """(s, r): ∂s_t / ∂r_{t−1}."""
    current: Mapping[str, Factor]
    """s: ∂s_t / ∂I_t."""
    spikes: Mapping[str, Factor]
    """s: ∂z_t / ∂s_t."""


class Neuron(nn.Module):
    """A layer of `size` neurons without its synapses; dt = 1 step.

    A neuron is registered with `@neuron("name")`; it takes `size` and keyword-only options. Its State is a NamedTuple
    of [batch, size] tensors with the fields `v` (membrane after the step, for membrane readouts) and `z` (spikes).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    @abstractmethod
    def initial_state(self, batch: int, like: Tensor) -> Any:
        """State before the first step, in the dtype and on the device of `like`."""

    @abstractmethod
    def forward(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: `current` is I_t [batch, size]; returns z_t [batch, size] and the next state."""

    def partials(self, state: Any, next_state: Any) -> Partials | None:
        """Partial derivatives of the step from `state` to `next_state`; None where each neuron's state depends on
        the states of others, so that no eligibility trace of one synapse exists."""
        return None
