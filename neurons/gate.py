"""Gates of neurons: maps that read all neurons of a layer, whose outputs are inputs of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.numerics.precision import BFloat16Linear


class Gate(NamedTuple):
    """A map of the current and of one field s of the state to g_t, one value per neuron.

        g_t = W [I_t ; s_{t−1}] + b      or, `summed`:      g_t = W (I_t + s_{t−1}) + b

    The map is any module. It receives a matrix [batch, inputs] if it is an nn.Linear, otherwise [batch, *shape], with
    twice as many channels (dimension 1) for the concatenated input.
    """

    map: str
    """Name of the module in the neuron."""
    reads: str
    """Name of the field s."""
    summed: bool = False

    def input(self, current: Tensor, state: Any) -> Tensor:
        """Return [I_t ; s_{t−1}] or I_t + s_{t−1}."""
        s = getattr(state, self.reads)
        return current + s if self.summed else torch.cat((current, s), 1)

    def output(self, neuron: nn.Module, current: Tensor, state: Any) -> Tensor:
        """Return g_t, [batch, *shape]."""
        map, q = getattr(neuron, self.map), self.input(current, state)
        g: Tensor = map(q.flatten(1) if isinstance(map, nn.Linear) else q)
        return g.view_as(getattr(state, self.reads))


GateMap = Callable[[tuple[int, ...], tuple[int, ...]], nn.Module]
"""Builds the map of a gate from the shapes of its input and its output. A layer that sums the two parts of the input
gives it an attribute `summed` that is true."""


def is_summed(gate_map: GateMap) -> bool:
    """Whether the layer that supplies the maps of its gates sums their inputs."""
    return bool(getattr(gate_map, "summed", False))


def dense(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> nn.Linear:
    """Return a linear map of all inputs to all outputs, with PyTorch's initial weights."""
    return nn.Linear(math.prod(inputs), math.prod(outputs))


def is_dense(map: nn.Module) -> bool:
    """Whether a map is W q + b with W and b as its parameters; a subclass of nn.Linear may compute anything."""
    return type(map) in (nn.Linear, BFloat16Linear)
