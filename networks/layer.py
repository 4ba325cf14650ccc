"""Layers as data: synapses and what they read, norms, gates, neurons; and the layer of `recurrent`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.neurons.base import Neuron
from throughtime.numerics.precision import products_of

INPUT = "input"
"""The name under which synapses read the input of the network."""


class Synapse(NamedTuple):
    """One map into the neurons of a layer."""

    module: nn.Module
    """From what it reads to a current, [batch, currents · shape[0], ...]."""
    reads: str
    """`INPUT`, or the name of a layer whose z it reads: of the same step if that layer comes before its own in
    `Network.layers`, else of the step before."""
    norm: StepBatchNorm | None = None
    """Applied to its current, with the statistics of the time step."""


def gates_of(neuron: Neuron) -> dict[str, nn.Linear]:
    """The linear maps that neurons evaluate in each step and train, by their name in the neuron."""
    return {
        name: module
        for name, module in neuron.named_modules()
        if isinstance(module, nn.Linear) and any(p.requires_grad for p in module.parameters())
    }


class Layer:
    """A layer of a network: its neurons receive the sum of its synapses' currents.

    Args:
        name: unique in the network.
        neuron: its neurons.
        synapses: by name.
    """

    name: str
    neuron: Neuron
    synapses: Mapping[str, Synapse]

    def __init__(self, name: str, neuron: Neuron, synapses: Mapping[str, Synapse]) -> None:
        self.name, self.neuron, self.synapses = name, neuron, synapses

    @property
    def gates(self) -> dict[str, nn.Linear]:
        """Maps of the current and the state that its neurons evaluate in each step and train, by name."""
        return gates_of(self.neuron)

    def recurrent_pair(self) -> tuple[nn.Linear, nn.Linear] | None:
        """W and R where I_t = W x_t + c + R z_{t−1} is all that reaches the neurons, x the network's input and z their
        own spikes; None where the layer has other synapses, or norms."""
        maps = {s.reads: s.module for s in self.synapses.values() if s.norm is None}
        W, R = maps.get(INPUT), maps.get(self.name)
        if len(self.synapses) == 2 and isinstance(W, nn.Linear) and isinstance(R, nn.Linear):
            return W, R
        return None


class RecurrentLayer(nn.Module, Layer):
    """I_t = W x_t + c + R z_{t−1}, then the neuron's step; a norm of its own for each product if `norm_steps` is given.

    Args:
        name: of the layer.
        inward: W and c.
        recurrent: R, with or without a bias.
        neuron: its neurons, in a vector.
        reads: what W reads, `INPUT` or the name of a layer.
        norm_steps: time steps with statistics of their own; None: no norms.
    """

    def __init__(
        self, name: str, inward: nn.Linear, recurrent: nn.Linear, neuron: Neuron, reads: str, norm_steps: int | None
    ) -> None:
        super().__init__()
        self.name, self.inward, self.recurrent, self.neuron = name, inward, recurrent, neuron
        width = inward.out_features
        self.inward_norm = StepBatchNorm(width, norm_steps) if norm_steps else None
        self.recurrent_norm = StepBatchNorm(width, norm_steps) if norm_steps else None
        self.synapses = {
            "inward": Synapse(inward, reads, self.inward_norm),
            "recurrent": Synapse(recurrent, name, self.recurrent_norm),
        }

    def current(self, drive: Tensor, z: Tensor, t: int) -> Tensor:
        """I_t from W x_t + c and z_{t−1}."""
        if self.inward_norm is None or self.recurrent_norm is None:
            R, c = self.recurrent.weight.t(), self.recurrent.bias
            return products_of(self.recurrent).addmm(drive if c is None else drive + c, z, R)
        return self.inward_norm(drive, t) + self.recurrent_norm(self.recurrent(z), t)


class RecurrentState(NamedTuple):
    """State of a network that describes itself by `layers` and `readouts`."""

    layers: tuple[Any, ...]
    """States of the layers' neurons, in order."""
    y: Any
    """[batch, outputs] of the readout; of several readouts a dict, by their names."""
    t: int
    """Number of steps so far."""
