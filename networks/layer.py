"""Layers as data: synapses and their sources, norms, gates, neurons; and the layer of the network `recurrent`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.dropout import Dropout
from throughtime.neurons.base import Neuron
from throughtime.neurons.gate import is_dense
from throughtime.numerics.precision import products_of

INPUT = "input"
"""Name of the network's input as the source of a synapse."""


class Synapse(NamedTuple):
    """A map from its source to the neurons of a layer."""

    module: nn.Module
    """Maps its source to a current, [batch, currents · shape[0], ...]."""
    reads: str
    """Its source: `INPUT`, or the name of a layer whose z it reads: z of the same step if that layer precedes its own
    in `Network.layers`, else z of the previous step."""
    norm: StepBatchNorm | None = None
    """Normalisation of its current, with the statistics of the time step."""
    view: nn.Module | None = None
    """Map of its source before `module`, without parameters and the same at every step: some channels, pooling, an
    image as a vector."""
    dropout: Dropout | None = None
    """Dropout between `view` and `module`."""

    def current(self, source: Tensor, key: int, t: int) -> Tensor:
        """Return its current in step t of the sequence with this key, from the source [batch, ...] of the step."""
        x = source if self.view is None else self.view(source)
        I: Tensor = self.module(x if self.dropout is None else self.dropout(x, key, t))
        return I if self.norm is None else self.norm(I, t)


def gates_of(neuron: Neuron) -> dict[str, nn.Linear]:
    """Return the trained linear maps that the neurons evaluate in each step, by their name in the neuron."""
    return {
        name: module
        for name, module in neuron.named_modules()
        if isinstance(module, nn.Linear) and any(p.requires_grad for p in module.parameters())
    }


class Layer:
    """A layer of a network: its neurons receive the sum of its synapses' currents.

    Args:
        name: unique name in the network.
        neuron: its neurons.
        synapses: its synapses, by name.
        norm: normalisation of the sum, with the statistics of the time step; None: none.
        resize: pooling or upsampling of the sum after its norm; None: none.

    Attributes:
        positions: number of positions of the images that its synapses return; 1 for vectors.
    """

    name: str
    neuron: Neuron
    synapses: Mapping[str, Synapse]
    norm: StepBatchNorm | None
    resize: nn.Module | None
    positions: int

    def __init__(
        self,
        name: str,
        neuron: Neuron,
        synapses: Mapping[str, Synapse],
        norm: StepBatchNorm | None = None,
        resize: nn.Module | None = None,
    ) -> None:
        self.name, self.neuron, self.synapses, self.norm, self.resize = name, neuron, synapses, norm, resize
        self.positions = math.prod(neuron.shape[1:])

    def total_current(self, sources: Mapping[str, Tensor], key: int, t: int) -> Tensor:
        """Return I_t in step t of the sequence with this key.

        Args:
            sources: input of the step and z of the layers, by name: of this step for those that precede the layer, of
                the previous step for the others.
            key: key of the sequence, on which masks of dropout depend.
            t: number of the step.
        """
        first, *others = (s.current(sources[s.reads], key, t) for s in self.synapses.values())
        I = sum(others, first)
        I = I if self.norm is None else self.norm(I, t)
        return I if self.resize is None else self.resize(I)

    @property
    def is_affine(self) -> bool:
        """Whether its current is the sum of what its synapses make of z, and of views of the network's input."""
        plain = all(s.dropout is None and (s.view is None or s.reads == INPUT) for s in self.synapses.values())
        return plain and self.norm is None and self.resize is None

    @property
    def gates(self) -> dict[str, nn.Linear]:
        """Trained maps of current and state that its neurons evaluate in each step, by name."""
        return gates_of(self.neuron)

    def recurrent_pair(self) -> tuple[nn.Linear, nn.Linear] | None:
        """Return W and R if the current is I_t = W x_t + c + R z_{t−1}, with the network's input x and the layer's own
        spikes z; None if the layer has other synapses, or norms."""
        maps = {s.reads: s.module for s in self.synapses.values() if s.norm is None and s.view is None}
        if not self.is_affine or len(self.synapses) != 2 or maps.keys() != {INPUT, self.name}:
            return None
        W, R = maps[INPUT], maps[self.name]
        return (W, R) if is_dense(W) and is_dense(R) else None


class RecurrentLayer(nn.Module, Layer):
    """Layer with I_t = W x_t + c + R z_{t−1}; with `norm_steps` each of the two products has its own normalisation.

    Args:
        name: name of the layer.
        inward: W and c.
        recurrent: R, with or without a bias.
        neuron: its neurons, a vector.
        reads: source of W, `INPUT` or the name of a layer.
        norm_steps: number of time steps with separate statistics; None: no norms.
        exists: mask of the synapses in R that exist; None: all.
    """

    recurrent_exists: Tensor | None

    def __init__(
        self,
        name: str,
        inward: nn.Linear,
        recurrent: nn.Linear,
        neuron: Neuron,
        reads: str,
        norm_steps: int | None,
        exists: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.name, self.inward, self.recurrent, self.neuron = name, inward, recurrent, neuron
        self.norm, self.resize, self.positions = None, None, 1
        self.register_buffer("recurrent_exists", exists)
        width = inward.out_features
        self.inward_norm = StepBatchNorm(width, norm_steps) if norm_steps else None
        self.recurrent_norm = StepBatchNorm(width, norm_steps) if norm_steps else None
        self.synapses = {
            "inward": Synapse(inward, reads, self.inward_norm),
            "recurrent": Synapse(recurrent, name, self.recurrent_norm),
        }

    @property
    def norms(self) -> tuple[StepBatchNorm, ...]:
        """The norms of its two products, if it has them."""
        return (
            () if self.inward_norm is None or self.recurrent_norm is None else (self.inward_norm, self.recurrent_norm)
        )

    def current(self, drive: Tensor, z: Tensor, t: int) -> Tensor:
        """Compute I_t from W x_t + c and z_{t−1}."""
        if self.inward_norm is None or self.recurrent_norm is None:
            if not is_dense(self.recurrent):
                recurrent: Tensor = self.recurrent(z)
                return drive + recurrent
            R, c = self.recurrent.weight.t(), self.recurrent.bias
            return products_of(self.recurrent).addmm(drive if c is None else drive + c, z, R)
        return self.inward_norm(drive, t) + self.recurrent_norm(self.recurrent(z), t)


class RecurrentState(NamedTuple):
    """State of a network that describes itself by `layers` and `readouts`."""

    layers: tuple[Any, ...]
    """States of the layers' neurons, in order."""
    y: Any
    """State of the readout, which is its output [batch, outputs] unless the readout needs more; with several readouts a
    dict of states, by their names."""
    t: int
    """Number of steps so far."""
    key: int = 0
    """Random number of the sequences of a batch, on which the masks of dropout depend; 0 without dropout."""
