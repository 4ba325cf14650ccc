"""Layers as data: synapses and their sources, norms, gates, neurons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

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

    @property
    def is_plain(self) -> bool:
        """Whether its module reads the source itself."""
        return self.view is None and self.dropout is None

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


class Layer(nn.Module):
    """A layer of a network: its neurons receive the sum of its synapses' currents.

    The module of each synapse is an attribute of the layer, by the synapse's name.

    Args:
        name: unique name in the network.
        neuron: its neurons.
        synapses: its synapses, by name.
        norm: normalisation of the sum, with the statistics of the time step; None: none.
        resize: pooling or upsampling of the sum after its norm; None: none.
        positions: number of positions of the images that its synapses return; None: that of the neurons, 1 for vectors.
    """

    neuron: Neuron
    norm: StepBatchNorm | None
    resize: nn.Module | None
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # a synapse's module

    def __init__(
        self,
        name: str,
        neuron: Neuron,
        synapses: Mapping[str, Synapse],
        norm: StepBatchNorm | None = None,
        resize: nn.Module | None = None,
        positions: int | None = None,
    ) -> None:
        super().__init__()
        self.name, self.synapses = name, synapses
        for part, synapse in synapses.items():
            self.add_module(part, synapse.module)
        self.neuron, self.norm, self.resize = neuron, norm, resize
        for part, synapse in synapses.items():
            for kind in ("norm", "view", "dropout"):
                if (module := getattr(synapse, kind)) is not None:
                    # A layer that reads x and x_view has a synapse from_x_view. State dicts have the names of norms.
                    self.add_module(f"{part}_norm" if kind == "norm" else f"{kind}_{part}", module)
        self.positions = math.prod(neuron.shape[1:]) if positions is None else positions
        self.register_load_state_dict_pre_hook(_rename)

    def total_current(self, sources: Mapping[str, Tensor], key: int, t: int) -> Tensor:
        """Return I_t in step t of the sequence with this key.

        Args:
            sources: input of the step and z of the layers, by name: of this step for those that precede the layer, of
                the previous step for the others.
            key: key of the sequence, on which masks of dropout depend.
            t: number of the step.
        """
        first, *others = self.synapses.values()
        I = first.current(sources[first.reads], key, t)
        for synapse in others:
            z, W = sources[synapse.reads], synapse.module
            if synapse.is_plain and synapse.norm is None and is_dense(W) and z.dim() == 2:
                I = products_of(W).addmm(I if W.bias is None else I + W.bias, z, W.weight.t())
            else:
                I = I + synapse.current(z, key, t)
        I = I if self.norm is None else self.norm(I, t)
        return I if self.resize is None else self.resize(I)

    @property
    def recurrent_synapse(self) -> Synapse | None:
        """The synapse that reads its own z of the step before; None if it has none."""
        return next((s for s in self.synapses.values() if s.reads == self.name), None)

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


def _rename(layer: nn.Module, weights: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Give the parameters of a state dict of version 0.1 their present names."""
    for name in [name for name in weights if name.startswith(f"{prefix}maps.")]:
        weights[prefix + name.removeprefix(f"{prefix}maps.")] = weights.pop(name)


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
