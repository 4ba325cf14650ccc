"""A window of the network `layered`: dense layers compute it at once, the others step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from throughtime.networks.kernels.readout_window import read_window
from throughtime.networks.kernels.spike_linear import spike_linear
from throughtime.networks.kernels.window import Maps, layer_window
from throughtime.networks.layer import INPUT, Layer, Synapse
from throughtime.networks.readout import Readout
from throughtime.networks.trajectory import viewed
from throughtime.neurons.base import Neuron
from throughtime.neurons.gate import is_dense
from throughtime.neurons.kernels.graph_step import step_in_graph
from throughtime.neurons.kernels.kernel import kernel_of
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.trees import stacked

Neurons = Callable[[Neuron, Tensor, Any], tuple[Tensor, Any]]
"""Computes z_t and the next state of neurons from their current and their state."""


def take_step(
    layers: Sequence[Layer],
    sources: dict[str, Tensor],
    states: dict[str, Any],
    key: int,
    t: int,
    neurons: Neurons,
) -> None:
    """Compute step t of layers in order; their z and states replace those of the step before.

    Args:
        layers: the layers.
        sources: z by source: of this step for other sources, of the step before for the layers.
        states: states of the layers' neurons, by name.
        key: key of the sequences, on which masks of dropout depend.
        t: number of the step.
        neurons: how neurons take their step.
    """
    for layer in layers:
        current = layer.total_current(sources, key, t)
        sources[layer.name], states[layer.name] = neurons(layer.neuron, current, states[layer.name])


def compiled_step(neuron: Neuron, current: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Compute the neurons' step in compiled loops; for a vector of neurons it takes longer to prepare these than they
    save in one step."""
    return step_in_graph(neuron, current, state) if len(neuron.shape) > 1 else neuron(current, state)


def computed_at_once(layers: Sequence[Layer]) -> set[str]:
    """Return the names of the layers whose windows need no step of another layer.

    Such a layer is dense, has no norm, and reads the input, earlier layers and perhaps all of its own z of the step
    before; no layer up to it reads a later one, nor does an earlier one read it.
    """
    place = {layer.name: n for n, layer in enumerate(layers)}
    reads = [(n, place[s.reads]) for n, layer in enumerate(layers) for s in layer.synapses.values() if s.reads != INPUT]
    found = set()
    for n, layer in enumerate(layers):
        own = [s for s in layer.synapses.values() if s.reads == layer.name]
        plain = layer.norm is None and all(is_dense(s.module) for s in layer.synapses.values())
        behind = any(reader <= n <= source and reader < source for reader, source in reads)
        if plain and not behind and all(s.view is None and s.dropout is None for s in own):
            found.add(layer.name)
    return found


class LayerWindows:
    """The results of a network's layers in a window, which `add` computes in order.

    Args:
        x: inputs of the window, [steps, batch, inputs].
        t: number of its first step.
        key: key of the sequences.
        shown: names of the layers whose membranes are results, too.

    Attributes:
        z: z of the input and of each layer, [steps, batch, *shape].
        bytes_of_z: z as bytes without a graph, of some layers.
        v: membranes of the layers in `shown`.
        states: the states before the window, after it once a layer is computed.
    """

    def __init__(self, x: Tensor, t: int, key: int, states: Mapping[str, Any], shown: set[str]) -> None:
        self.t, self.key, self.shown, self.states = t, key, shown, {**states}
        self.z: dict[str, Tensor] = {INPUT: x}
        self.bytes_of_z: dict[str, Tensor | None] = {}
        self.v: dict[str, Tensor | None] = {}

    def add(self, layers: Sequence[Layer], at_once: set[str]) -> None:
        """Compute all layers, those in `at_once` without steps if their neurons have loops for a window."""
        waiting: list[Layer] = []
        for layer in layers:
            plain = all(is_dense(s.module) for s in layer.synapses.values())  # a hook may be newer than `at_once`
            if layer.name not in at_once or not plain or kernel_of(layer.neuron) is None or is_smoothed():
                waiting.append(layer)
                continue
            self._add_steps(waiting)
            self._add_at_once(layer)
            waiting = []
        self._add_steps(waiting)

    def _add_at_once(self, layer: Layer) -> None:
        own = [s.module for s in layer.synapses.values() if s.reads == layer.name]
        first, *others = (self._current(s) for s in layer.synapses.values() if s.reads != layer.name)
        maps = Maps(None, cast("nn.Linear", own[0]) if own else None)
        before, reads_v = self.states[layer.name], layer.name in self.shown
        window = layer_window(layer.neuron, maps, sum(others, first), None, before, self.t, reads_v)
        assert window is not None, "its neurons have a kernel"
        self.z[layer.name], self.bytes_of_z[layer.name] = window.z, window.bytes_of_z
        self.v[layer.name], self.states[layer.name] = window.v, window.state

    def _current(self, synapse: Synapse) -> Tensor:
        """Return the current through a linear map in all steps, [steps, batch, currents · size], in its own memory."""
        z, linear = viewed(synapse, self.z[synapse.reads]), cast("nn.Linear", synapse.module)
        if synapse.dropout is not None:
            z = torch.stack([synapse.dropout(z_t, self.key, self.t + n) for n, z_t in enumerate(z.unbind(0))])
        elif synapse.view is None and (bytes_of_z := self.bytes_of_z.get(synapse.reads)) is not None:
            return spike_linear(linear, z, bytes_of_z)
        d: Tensor = linear(z.flatten(2))
        return d

    def _add_steps(self, layers: Sequence[Layer]) -> None:
        """Compute layers step by step."""
        if not layers:
            return
        names = [layer.name for layer in layers]
        sources = {name: self.states[name].z for name in names}
        found = []
        for n, given in enumerate(zip(*(z.unbind(0) for z in self.z.values()), strict=True)):
            sources |= zip(self.z, given, strict=True)
            take_step(layers, sources, self.states, self.key, self.t + n, compiled_step)
            z, v = {f: sources[f] for f in names}, {f: self.states[f].v for f in names if f in self.shown}
            found.append((z, v))
        z, v = stacked(found)
        self.z |= z
        self.v |= v

    def read(self, readout: Readout, y: Any) -> tuple[Tensor, Any]:
        """Return the outputs of a readout [steps, batch, outputs], and its state after the window."""
        of_z = readout.reads == "z"
        o = self.z[readout.layer] if of_z else self.v[readout.layer]
        assert o is not None, "the layer is shown"
        return read_window(readout, o, self.bytes_of_z.get(readout.layer) if of_z else None, y, self.t, self.key)
