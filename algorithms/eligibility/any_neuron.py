"""Base of rules with eligibility traces that apply to any neuron, with derivatives from equations where it has them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.neurons.base import Neuron, Partials


class AnyNeuronRule(DiagonalRTRL):
    """`diagonal_rtrl`, whose derivatives are those of the neuron's equations where it has `partials`.

    The equations give traces of fewer variables, and need no backward pass.
    """

    def partials(self, neuron: Neuron, current: Tensor, state: Any, next_state: Any) -> Partials:
        known = neuron.partials(current, state, next_state)
        return super().partials(neuron, current, state, next_state) if known is None else known
