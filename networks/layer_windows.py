"""A window of a network of layers: layer by layer where no step of another is needed, the others step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.networks.kernels.linear_window import linear_window
from throughtime.networks.kernels.plain_window import plain_window
from throughtime.networks.kernels.window import LayerWindow, Recurrence, layer_window
from throughtime.networks.layer import INPUT, Layer, Synapse
from throughtime.networks.readout import Readout
from throughtime.networks.trajectory import at_each_step, viewed
from throughtime.neurons.base import Neuron
from throughtime.neurons.gate import is_dense
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.neurons.kernels.graph_step import step_in_graph
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


def recurrence_of(layer: Layer) -> Recurrence | None:
    """Return how the current of a layer follows from its drive; None if that needs more than R and a norm of each."""
    *_, last = synapses = [*layer.synapses.values()]
    own, norms = layer.recurrent_synapse, [s.norm for s in synapses if s.norm is not None]
    if layer.resize is not None:
        return None
    if own is None:
        norms += [] if layer.norm is None else [layer.norm]
        normed_once = not norms or (len(norms) == 1 and len(synapses) == 1) or norms == [layer.norm]
        return Recurrence(None, tuple(norms)) if normed_once else None
    if own is not last or len(synapses) == 1 or layer.norm is not None or not own.is_plain or not is_dense(own.module):
        return None
    return Recurrence(own.module, tuple(norms)) if not norms or len(norms) == len(synapses) == 2 else None


def computed_at_once(layers: Sequence[Layer]) -> set[str]:
    """Return the names of the layers whose windows need no step of another layer.

    Such a layer is dense, its current has the form of a `Recurrence`, and no layer up to it reads a later one, nor does
    an earlier one read it.
    """
    place = {layer.name: n for n, layer in enumerate(layers)}
    reads = [(n, place[s.reads]) for n, layer in enumerate(layers) for s in layer.synapses.values() if s.reads != INPUT]
    names = set()
    for n, layer in enumerate(layers):
        dense = all(isinstance(s.module, nn.Linear) for s in layer.synapses.values())
        behind = any(reader <= n <= source and reader < source for reader, source in reads)
        if dense and not behind and recurrence_of(layer) is not None:
            names.add(layer.name)
    return names


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
        """Compute all layers, those in `at_once` without steps of the others."""
        waiting: list[Layer] = []
        for layer in layers:
            recurrence = recurrence_of(layer) if layer.name in at_once else None  # a hook may be newer than `at_once`
            if recurrence is None:
                waiting.append(layer)
                continue
            self._add_steps(waiting)
            waiting = []
            window = self._window(layer, recurrence, self.states[layer.name], layer.name in self.shown)
            self.z[layer.name], self.bytes_of_z[layer.name], self.v[layer.name], self.states[layer.name] = window
        self._add_steps(waiting)

    def read(self, readout: Readout, y: Any) -> tuple[Tensor, Any]:
        """Return the outputs of a readout [steps, batch, outputs], and its state after the window."""
        neuron, recurrence = readout.neuron, recurrence_of(readout)
        assert recurrence is not None, "its one synapse reads a layer"
        if type(neuron) is LeakyIntegrator and not neuron.decay and readout.norm is None:
            outputs = self._drive(readout, None)
            return outputs, outputs[-1].clone()  # a view would keep the outputs of the whole window alive
        window = self._window(readout, recurrence, neuron.unpack(y), False)
        return window.z, neuron.pack(window.state)

    def _window(self, layer: Layer, recurrence: Recurrence, state: Any, reads_v: bool) -> LayerWindow:
        """Compute a window of a layer from the results of those that it reads."""
        R = recurrence.linear
        drive = self._drive(layer, None if R is None or recurrence.norms else R.bias)
        arguments = (layer.neuron, drive, recurrence, state, self.t, reads_v)
        return layer_window(*arguments) or plain_window(*arguments)

    def _drive(self, layer: Layer, bias: Tensor | None) -> Tensor:
        """Return the sum of the currents of all synapses but the recurrent one, and of a bias, in its own memory."""
        field = layer.reads if isinstance(layer, Readout) else "z"
        first, *others = (s for s in layer.synapses.values() if s is not layer.recurrent_synapse)
        drive = self._current(first, field, bias)
        for synapse in others:
            drive = drive + self._current(synapse, field, None)
        return drive

    def _current(self, synapse: Synapse, field: str, bias: Tensor | None) -> Tensor:
        """Return the current of a synapse in all steps, plus a bias, [steps, batch, currents · shape[0], ...]."""
        bytes_of_z = self.bytes_of_z.get(synapse.reads) if field == "z" and synapse.is_plain else None
        source = self.z[synapse.reads] if field == "z" else self.v[synapse.reads]
        assert source is not None, "the layer is shown"
        source, module = viewed(synapse, source), synapse.module
        if synapse.dropout is not None:
            source = torch.stack([synapse.dropout(z_t, self.key, self.t + n) for n, z_t in enumerate(source.unbind(0))])
        if is_dense(module):
            c = module.bias if bias is None else bias if module.bias is None else module.bias + bias
            return linear_window(module, source.flatten(2), bytes_of_z, c)
        current = at_each_step(module, source)
        return current if bias is None else current + bias

    def _add_steps(self, layers: Sequence[Layer]) -> None:
        """Compute layers step by step."""
        if not layers:
            return
        names = [layer.name for layer in layers]
        sources = {name: self.states[name].z for name in names}
        steps = []
        # unbind, because the backward pass of x[t] fills a whole window in each step.
        for n, given in enumerate(zip(*(z.unbind(0) for z in self.z.values()), strict=True)):
            sources |= zip(self.z, given, strict=True)
            take_step(layers, sources, self.states, self.key, self.t + n, compiled_step)
            z, v = {f: sources[f] for f in names}, {f: self.states[f].v for f in names if f in self.shown}
            steps.append((z, v))
        z, v = stacked(steps)
        self.z |= z
        self.v |= v
