"""Construction of the parts of the network `layered` from their specifications."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar, cast

import torch
from torch import nn

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.dropout import Dropout
from throughtime.networks.layer import INPUT, Layer, Synapse
from throughtime.networks.layered.maps import (
    GateMaps,
    Sizes,
    Weights,
    draw,
    resize_of,
    sizes_after,
    synapse_map,
    view_of,
)
from throughtime.networks.layered.spec import LayerSpec, ReadoutSpec
from throughtime.networks.readout import TAU, Readout, constant_leak
from throughtime.neurons.base import Neuron, Shape, shape_of
from throughtime.neurons.integrators import GatedIntegrator, SigmoidIntegrator, TrainedIntegrator
from throughtime.registry import or_default

T = TypeVar("T")


class Builder:
    """Builds the layers and readouts of a network.

    Args:
        inputs: shape of the input.
        specs: the layers.
        neuron: function from a shape to a layer of neurons.
        weights: initial distribution of the maps.

    Raises:
        ValueError: the sizes of a layer do not fit those of its sources; the message names the layer.
    """

    def __init__(
        self, inputs: Sizes, specs: Sequence[LayerSpec], neuron: Callable[..., Neuron], weights: Weights
    ) -> None:
        self.specs, self.neuron, self.weights, self.dropouts = specs, neuron, weights, 0
        self.sizes: dict[str, Sizes] = {INPUT: inputs}
        """Shape of the input and of each layer's neurons, by name."""
        self._current_sizes: dict[str, Sizes] = {}
        for spec in specs:
            with_name(spec, self._add_sizes)
        with torch.random.fork_rng(devices=[]):
            self.currents = neuron(1).currents

    def _add_sizes(self, spec: LayerSpec) -> None:
        known = [source for source in spec.sources if source in self.sizes]
        if not known:
            raise ValueError("it reads neither the input nor an earlier layer")
        _, read = view_of(spec, self.sizes[known[0]], known[0] == INPUT)
        self._current_sizes[spec.called], self.sizes[spec.called] = sizes_after(spec, read)

    def layers(self) -> list[Layer]:
        """Build the layers. The synapses' random numbers precede those of the neurons, so that networks of all neurons
        start from the same synapses."""
        synapses = [with_name(spec, self._synapses) for spec in self.specs]
        return [self._layer(spec, layer_synapses) for spec, layer_synapses in zip(self.specs, synapses, strict=True)]

    def _layer(self, spec: LayerSpec, synapses: Mapping[str, Synapse]) -> Layer:
        neuron, positions = with_name(spec, self._neurons), math.prod(self._current_sizes[spec.called][1:])
        channels = neuron.currents * spec.size
        norm = StepBatchNorm(channels, spec.norm_steps, weight=1.0) if spec.norm_steps else None
        return Layer(spec.called, neuron, synapses, norm, resize_of(spec), positions)

    def _neurons(self, spec: LayerSpec) -> Neuron:
        shape = self.sizes[spec.called]
        if "gate_map" in inspect.signature(self.neuron).parameters:
            return self.neuron(shape, gate_map=GateMaps(spec, self.weights))
        return self.neuron(shape)

    def _synapses(self, spec: LayerSpec) -> dict[str, Synapse]:
        synapses: dict[str, Synapse] = {}
        views = {source: view_of(spec, self.sizes[source], source == INPUT) for source in spec.sources}
        (_, first), *_ = views.values()
        for source, (view, read) in views.items():
            _require_same(f"image from {source}", read[1:], first[1:])
            module = synapse_map(spec, read, self.currents, bias=spec.bias and not synapses)
            dropout = self._dropout(spec.dropout, spec.dropout_channels)
            synapses[f"from_{source}"] = Synapse(module, source, view=view, dropout=dropout)
        if spec.recurrent:
            own, alone = self.sizes[spec.called], spec.model_copy(update={"stride": None})
            current, _ = sizes_after(alone, own)
            _require_same(f"current from {spec.called}", current, self._current_sizes[spec.called])
            synapses["recurrent"] = Synapse(synapse_map(alone, own, self.currents, bias=False), spec.called)
        draw([cast("nn.Linear | nn.Conv2d", synapse.module) for synapse in synapses.values()], self.weights)
        return synapses

    def _dropout(self, p: float, channels: bool = False) -> Dropout | None:
        self.dropouts += 1
        return Dropout(p, self.dropouts, channels) if p else None

    def readout(self, spec: ReadoutSpec, outputs: Shape) -> Readout:
        """Build a readout of so many outputs."""
        layer = spec.reads or self.specs[-1].called
        if layer not in self.sizes or layer == INPUT:
            raise ValueError(f'the readout "{spec.name}" reads "{layer}"; there is {", ".join(self._current_sizes)}')
        return readout_of(spec, layer, self.sizes[layer], outputs, self._dropout(spec.dropout))


def readout_of(spec: ReadoutSpec, layer: str, source: Sizes, outputs: Shape, dropout: Dropout | None = None) -> Readout:
    """Build a readout of so many outputs, of a layer of this shape."""
    (width, *_), grid = shape_of(outputs), spec.grid
    if grid and len(source) != 3:
        raise ValueError(f'the readout "{spec.name}" is a grid, and {layer} has no images')
    integrator = constant_leak(0.0 if grid else or_default(spec.tau, TAU), spec.synapse, spec.max)
    if spec.leak == "gated":
        integrator = partial(GatedIntegrator, trained_slope=spec.slope != "fixed")
    elif spec.leak == "sigmoid":
        integrator = SigmoidIntegrator
    elif spec.leak == "trained":
        integrator = partial(TrainedIntegrator, tau=or_default(spec.tau, TAU))
    return Readout(
        source,
        (width, *source[1:]) if grid else width,
        "z" if spec.of == "spikes" else "v",
        integrator,
        layer=layer,
        name=spec.name,
        norm=StepBatchNorm(width, spec.norm_steps) if spec.norm_steps else None,
        dropout=dropout,
    )


def with_name(spec: LayerSpec, build: Callable[[LayerSpec], T]) -> T:
    """Return `build(spec)`; an error names the layer."""
    try:
        return build(spec)
    except ValueError as error:
        raise ValueError(f"layer {spec.called}: {error}") from error


def output_sizes(outputs: Shape | Mapping[str, Shape], names: Sequence[str]) -> list[int]:
    """Return the number of outputs of each readout; the number of channels of a grid.

    Raises:
        ValueError: the outputs have other names.
    """
    by_name = outputs if isinstance(outputs, Mapping) else dict.fromkeys(names, outputs)
    if by_name.keys() != {*names}:
        raise ValueError(f"the outputs are {', '.join(by_name)}; the readouts are {', '.join(names)}")
    return [shape_of(by_name[name])[0] for name in names]


def _require_same(what: str, sizes: Sizes, first: Sizes) -> None:
    """Refuse a source of another size than the first."""
    if sizes != first:
        raise ValueError(f"the {what} is {_text(sizes)}, that of its first source {_text(first)}")


def _text(sizes: Sizes) -> str:
    return " x ".join(map(str, sizes)) or "a vector"
