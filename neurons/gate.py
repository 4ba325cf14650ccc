"""Gates of neurons: maps that read all neurons of a layer, whose outputs are inputs of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from throughtime.numerics.precision import BFloat16Linear


class Gate(NamedTuple):
    """A map of the current, of one field s of the state, or of both to g_t, one value per neuron.

        g_t = W [I_t ; s_{t−1}] + b      or, `summed`:              g_t = W (I_t + s_{t−1}) + b
        g_t = W s_{t−1} + b              without `current`;         g_t = W I_t + b      without a field s

    The map is any module. It receives a matrix [batch, inputs] if it is an nn.Linear, otherwise [batch, *shape], with
    twice as many channels (dimension 1) for the concatenated input.
    """

    map: str
    """Name of the module in the neuron."""
    reads: str | None
    """Name of the field s; None: the gate reads the current alone."""
    summed: bool = False
    """Whether the map reads the sum; the gate then reads both."""
    current: bool = True
    """Whether the gate reads the current."""

    def field(self, state: Any) -> Tensor | None:
        """Return s of a state; None without a field s."""
        return None if self.reads is None else getattr(state, self.reads)

    def parts(self, I: Tensor, s: Tensor | None) -> list[Tensor]:
        """Return the parts of the map's input: I and s, one of them, or their sum; without s, I at most."""
        if self.summed and s is not None:
            return [I + s]
        return [part for part in (I if self.current else None, s) if part is not None]

    def blocks(self, W: Tensor, size: int) -> tuple[Tensor, ...]:
        """Return the columns of W, or of its gradient, for each part of the input of `size` neurons."""
        two = self.current and self.reads is not None and not self.summed
        return W.split((W.shape[1] - size, size), 1) if two else (W,)

    def input(self, current: Tensor, state: Any) -> Tensor:
        """Return the map's input, [I_t ; s_{t−1}], I_t + s_{t−1}, I_t or s_{t−1}."""
        parts = self.parts(current, self.field(state))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def output(self, neuron: nn.Module, current: Tensor, state: Any) -> Tensor:
        """Return g_t, [batch, *shape]."""
        map, q = getattr(neuron, self.map), self.input(current, state)
        g: Tensor = map(q.flatten(1) if isinstance(map, nn.Linear) else q)
        return g.view_as(state.z)


GateMap = Callable[[tuple[int, ...], tuple[int, ...]], nn.Module]
"""Builds the map of a gate from the shapes of its input and its output. A layer that sums the two parts of the input
gives it an attribute `summed` that is true."""


def is_summed(gate_map: GateMap) -> bool:
    """Whether the layer that supplies the maps of its gates sums their inputs."""
    return bool(getattr(gate_map, "summed", False))


def dense(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> nn.Linear:
    """Return a linear map of all inputs to all outputs, with PyTorch's initial weights."""
    return nn.Linear(math.prod(inputs), math.prod(outputs))


def has_hooks(module: nn.Module) -> bool:
    """Whether a module has hooks, which only a call runs; torch.nn.utils.weight_norm computes the weight in one."""
    m = module
    return bool(m._forward_pre_hooks or m._forward_hooks or m._backward_pre_hooks or m._backward_hooks)


def is_dense(map: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a map is W q + b with W and b as its parameters; a subclass of nn.Linear and a hook may change it."""
    return type(map) in (nn.Linear, BFloat16Linear) and not has_hooks(map)
