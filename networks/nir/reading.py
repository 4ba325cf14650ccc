"""A graph of NIR as a network: from Python, and as the network `nir` of a suite."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast, get_args

import numpy as np
import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from throughtime.errors import UsageError, first_line
from throughtime.networks.layer import INPUT, Layer, Synapse
from throughtime.networks.network import LayerNetwork
from throughtime.networks.nir.package import Scheme, imported
from throughtime.networks.readout import Readout
from throughtime.networks.setting import Setting, settings
from throughtime.neurons.base import Neuron, Shape, shape_of
from throughtime.neurons.cuba import Cuba
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.neurons.lif import LIF
from throughtime.registry import network

if TYPE_CHECKING:
    import nir

TINY = Path(__file__).with_name("tiny.nir")
"""Graph of a network of 2 x 6 x 6 inputs, a convolution, a recurrent layer and 5 outputs, for checks."""


@network("nir")
@settings(tiny=Setting((2, 6, 6), 5, "lif", {"reset": "zero"}, {"path": str(TINY)}))
class NIRNetwork(LayerNetwork):
    """The network of a NIR file, whose weights training changes.

    Layers of LIF or CubaLIF in series: of each a linear map or a convolution, mean or sum pooling, with or without
    recurrent weights; then a linear readout with or without LI. Scales of a current (R, w) and thresholds that differ
    within a layer become factors of the weights, which leaves the spikes unchanged.

    Args:
        inputs: shape of the input of a time step.
        outputs: number of outputs.
        neuron: `lif` with `reset: zero` for a graph of LIF, `cuba` for one of CubaLIF; the graph sets time constants
            and thresholds, and the neuron's options the surrogate.
        path: the file.
        dt: length of a step, in seconds; null: that of the file's metadata, or 1e-3.
        scheme: how time is discretised; null: that of the file's metadata, or `exponential`.

    Raises:
        UsageError: there is no such file, its graph has another form or a node of another type, or nir is not
            installed.

    Example:
        >>> neuron = tt.neuron_type("lif", reset="zero")
        >>> import throughtime.networks.nir.reading as nir
        >>> network = tt.build_network("nir", (2, 6, 6), 5, neuron, path=str(nir.TINY))
        >>> [layer.neuron.shape for layer in network.layers]
        [(3, 3, 3), (5,)]

    References:
        Pedersen et al. 2024: https://doi.org/10.1038/s41467-024-52259-9
    """

    given_weights: ClassVar[str] = "its weights are those of its file"
    """Why replicates begin with the same weights."""

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape | Mapping[str, Shape],
        neuron: Callable[..., Neuron],
        *,
        path: str,
        dt: PositiveFloat | None = None,
        scheme: Scheme | None = None,
    ) -> None:
        layers, readout, shape = _Reader(_read(Path(path).expanduser()), dt, scheme, neuron).parts()
        (width,) = readout.neuron.shape
        if isinstance(outputs, Mapping) or shape_of(outputs) != (width,):
            raise UsageError(f"the graph has {width} outputs, the task {outputs}", path)
        if math.prod(shape) != math.prod(shape_of(inputs)):
            raise UsageError(f"the graph has inputs {list(shape)}, the data {list(shape_of(inputs))}", path)
        super().__init__(layers, [readout])


def from_nir(graph: nir.NIRGraph, dt: float | None = None, scheme: Scheme | None = None) -> LayerNetwork:
    """Return the network of a NIR graph, of the form that `NIRNetwork` describes.

    Args:
        graph: the graph.
        dt: length of a step, in seconds; None: that of the graph's metadata, or 1e-3.
        scheme: how time is discretised; None: that of the graph's metadata, or `exponential`.

    Raises:
        UsageError: the graph has another form, or a node of another type; its metadata have another dt or scheme; or
            nir is not installed.
    """
    layers, readout, _ = _Reader(graph, dt, scheme, None).parts()
    return LayerNetwork(layers, [readout])


def _read(path: Path) -> Any:
    nir = imported()
    if not path.is_file():
        raise UsageError("no such NIR file", str(path))
    try:
        return nir.read(path)
    except Exception as error:  # of h5py or nir, for a damaged file or an unknown node
        raise UsageError(f"not a NIR file: {type(error).__name__}: {first_line(error)}", str(path)) from error


class _Segment(NamedTuple):
    """Nodes from one layer's neurons to the next: those before the map, the map, pooling after it."""

    views: list[tuple[str, Any]]
    map: tuple[str, Any]
    pools: list[tuple[str, Any]]


class _Reader:
    """Builds the layers and the readout of a graph.

    Args:
        graph: the graph.
        dt: as in `from_nir`.
        scheme: as in `from_nir`.
        neuron: function from a shape to neurons; None: those of the graph's kind.
    """

    def __init__(
        self, graph: Any, dt: float | None, scheme: Scheme | None, neuron: Callable[..., Neuron] | None
    ) -> None:
        self.nir, self.graph, self.neuron = imported(), graph, neuron
        self.dt: float = _stated(graph, "dt", dt, 1e-3)
        self.scheme: Scheme = _stated(graph, "scheme", scheme, "exponential")

    def parts(self) -> tuple[list[Layer], Readout, tuple[int, ...]]:
        """Return layers, readout and shape of the input."""
        nir = self.nir
        start, chain, loops = _in_series(self.graph, nir)
        shape = inputs = tuple(int(size) for size in self.graph.nodes[start].input_type["input"])
        leak = chain.pop() if chain and isinstance(chain[-1][1], nir.LI) else None
        layers: list[Layer] = []
        waiting: list[tuple[str, Any]] = []
        nodes = (nir.LIF, nir.CubaLIF, nir.Linear, nir.Affine, nir.Conv2d, nir.AvgPool2d, nir.SumPool2d, nir.Flatten)
        for name, node in chain:
            if not isinstance(node, nodes):
                known = ", ".join(kind.__name__ for kind in nodes)
                raise UsageError(f"NIR: {name} is a {type(node).__name__}; it reads {known}")
            if not isinstance(node, nir.LIF | nir.CubaLIF):
                waiting.append((name, node))
                continue
            layer = self._layer(name, node, self._segment(waiting, name), shape, loops.pop(name, None), layers)
            layers.append(layer)
            shape, waiting = layer.neuron.shape, []
        if not layers or not waiting:
            raise UsageError(
                "NIR: it reads layers in series: a map and neurons (LIF or CubaLIF), each, then a linear map"
            )
        views, (name, linear), pools = self._segment(waiting, "the readout")
        flat = all(isinstance(node, nir.Flatten) for _, node in views) and not pools
        if not flat or not isinstance(linear, nir.Linear | nir.Affine):
            raise UsageError(f"NIR: the readout {name} is a {type(linear).__name__}; it reads Linear and Affine there")
        return layers, self._readout(linear, leak, layers[-1]), inputs

    def _segment(self, nodes: list[tuple[str, Any]], before: str) -> _Segment:
        """Return the nodes between two layers, of which exactly one has weights."""
        weighted = (self.nir.Linear, self.nir.Affine, self.nir.Conv2d)
        places = [i for i, (_, node) in enumerate(nodes) if isinstance(node, weighted)]
        if len(places) != 1:
            what = f"{len(places)} maps with weights lead to {before}"
            raise UsageError(f"NIR: {what}; it reads layers in series, with one map each")
        return _Segment(nodes[: places[0]], nodes[places[0]], nodes[places[0] + 1 :])

    def _layer(
        self, name: str, node: Any, segment: _Segment, shape: tuple[int, ...], loop: Any, below: list[Layer]
    ) -> Layer:
        neuron, scale = self._neurons(name, node)
        views = [self._view(node) for _, node in segment.views]
        flattens = [isinstance(view, nn.Flatten) for view in views]
        dense = not isinstance(segment.map[1], self.nir.Conv2d)
        if dense and len(shape) > 1 and not any(flattens):
            raise UsageError(f"NIR: {segment.map[0]} reads images", hint="a Flatten must precede it")
        if not below and dense and all(flattens):
            views = []  # the input is a vector in memory
        elif not below and len(shape) > 1:
            views = [nn.Unflatten(1, shape), *views]
        pools = [self._view(node) for _, node in segment.pools]
        if pools and any(isinstance(pool, nn.Flatten) for pool in pools):
            raise UsageError(f"NIR: a Flatten between {segment.map[0]} and {name}")
        inward = self._map(*segment.map, scale)
        source = below[-1].name if below else INPUT
        synapses = {"inward": Synapse(inward, source, view=nn.Sequential(*views) if views else None)}
        if loop is not None:
            if pools:
                raise UsageError(f"NIR: {name} has pooling before it and a loop")
            synapses["recurrent"] = Synapse(self._map(f"the loop of {name}", loop, scale), name)
        resize = nn.Sequential(*pools) if len(pools) > 1 else pools[0] if pools else None
        try:
            with torch.no_grad():
                like = torch.zeros(1, *shape) if below else torch.zeros(1, math.prod(shape))
                current = nn.Sequential(*views, inward)(like)
                pooled = current if resize is None else resize(current)
        except RuntimeError as error:
            raise UsageError(f"NIR: {segment.map[0]} does not fit what it reads, {list(shape)}") from error
        if pooled.shape[1:] != neuron.shape:
            raise UsageError(f"NIR: the current of {name} is {list(pooled.shape[1:])}, not {list(neuron.shape)}")
        return Layer(name, neuron, synapses, resize=resize, positions=math.prod(current.shape[2:]))

    def _view(self, node: Any) -> nn.Module:
        if isinstance(node, self.nir.Flatten):
            return nn.Flatten(1)
        size, stride, padding = _pair(node.kernel_size), _pair(node.stride), _pair(node.padding)
        divisor = 1 if isinstance(node, self.nir.SumPool2d) else None
        return nn.AvgPool2d(size, stride, padding, divisor_override=divisor)

    def _map(self, name: str, node: Any, scale: Tensor) -> nn.Module:
        """Return a linear map or convolution, with the weights of each output scaled."""
        nir = self.nir
        if not isinstance(node, nir.Linear | nir.Affine | nir.Conv2d):
            raise UsageError(f"NIR: {name} is a {type(node).__name__}; it reads Linear, Affine and Conv2d there")
        bias, weight = getattr(node, "bias", None), torch.tensor(node.weight)
        if isinstance(node, nir.Conv2d):
            padding = node.padding if isinstance(node.padding, str) else _pair(node.padding)
            module: Any = nn.Conv2d(
                weight.shape[1] * node.groups,
                len(weight),
                _pair(weight.shape[2:]),
                _pair(node.stride),
                padding,
                _pair(node.dilation),
                node.groups,
            )
        else:
            module = nn.Linear(weight.shape[1], len(weight), bias=bias is not None)
        by_output = scale.flatten(1) if scale.dim() > 1 else scale[:, None]
        factor = by_output[:, 0]  # all positions of a channel share the weights
        if len(factor) != len(weight):
            raise UsageError(f"NIR: {name} has {len(weight)} outputs, its neurons are {list(scale.shape)}")
        if not torch.allclose(by_output, factor[:, None].expand_as(by_output), rtol=1e-12, atol=0):
            raise UsageError(f"NIR: r or v_threshold after {name} differ within a channel")
        with torch.no_grad():
            module.weight.copy_(weight.double() * factor.view(-1, *[1] * (weight.dim() - 1)))
            if bias is not None:
                module.bias.copy_(torch.tensor(bias).double() * factor)
        return module

    def _neurons(self, name: str, node: Any) -> tuple[Neuron, Tensor]:
        """Return the neurons of a node, and the factor of the currents of each."""
        if np.any(node.v_leak) or np.any(node.v_reset):
            raise UsageError(f"NIR: {name} has a resting or reset potential other than 0")
        θ, shape = float(node.v_threshold.flat[0]), tuple(node.v_threshold.shape)
        scale = node.r * θ / node.v_threshold
        kind: type[Neuron] = Cuba if isinstance(node, self.nir.CubaLIF) else LIF
        own: Any = Cuba if kind is Cuba else partial(LIF, reset="zero")
        neuron: Any = own(shape, threshold=θ) if self.neuron is None else _with_threshold(self.neuron, shape, θ)
        plain = {"reset": "zero", "input_gain": "leak", "delay": 0, "refractory": 0}
        if type(neuron) is not kind:
            what = f"the neurons {name} of the graph are {type(node).__name__}, not {type(neuron).__name__}"
            raise UsageError(what, hint="{name: lif, reset: zero}" if kind is LIF else "neurons: [cuba]")
        if other := [f"{key}: {value}" for key, value in plain.items() if getattr(neuron, key, value) != value]:
            raise UsageError(f"NIR's neurons have {other[0]}, not {getattr(neuron, other[0].partition(':')[0])}")
        if kind is Cuba:
            γ = _uniform(_alpha(node.tau_syn, self.dt, self.scheme), f"tau_syn of {name}")
            scale, τ = scale * node.w_in * (1 - γ), node.tau_mem
            cast("Any", neuron).gamma = γ
        else:
            τ = node.tau
        neuron.alpha = torch.tensor(_alpha(τ, self.dt, self.scheme), dtype=torch.float32)
        return neuron, torch.tensor(scale, dtype=torch.float64)

    def _readout(self, linear: Any, leak: tuple[str, Any] | None, layer: Layer) -> Readout:
        κ = 0.0 if leak is None else _uniform(_alpha(leak[1].tau, self.dt, self.scheme), f"tau of {leak[0]}")
        if leak is not None and (np.any(leak[1].r != 1) or np.any(leak[1].v_leak)):
            raise UsageError(f"NIR: {leak[0]} has r other than 1 or v_leak other than 0")
        width = len(linear.weight)
        readout = Readout(layer.neuron.shape, width, "z", partial(LeakyIntegrator, decay=κ), layer=layer.name)
        with torch.no_grad():
            readout.linear.weight.copy_(torch.tensor(linear.weight))
            readout.linear.bias.copy_(torch.tensor(getattr(linear, "bias", np.zeros(width))))
        return readout


def _pair(value: Any) -> tuple[int, int]:
    """Return a number of rows and one of columns, from one number or two."""
    rows, columns = np.broadcast_to(value, 2)
    return int(rows), int(columns)


def _with_threshold(neuron: Callable[..., Neuron], shape: tuple[int, ...], θ: float) -> Neuron:
    """Return neurons with this threshold; a neuron without that option is of a kind that NIR does not have."""
    try:
        return neuron(shape, threshold=θ)
    except TypeError:
        return neuron(shape)


def _stated(graph: nir.NIRGraph, name: str, given: Any, default: Any) -> Any:
    """Return an argument, or the value that the graph's metadata have in its place."""
    there = graph.metadata.get(name)
    if given is not None and there is not None and given != there:
        raise UsageError(f"NIR: {name} is {given}; the graph's metadata say {there}", hint=f"{name}=None takes {there}")
    chosen = next(value for value in (given, there, default) if value is not None)
    if name == "scheme" and chosen not in get_args(Scheme):
        raise UsageError(f"NIR: no scheme {chosen}; there are {', '.join(get_args(Scheme))}")
    return chosen


def _alpha(tau: Any, dt: float, scheme: Scheme) -> Any:
    return np.exp(-dt / tau) if scheme == "exponential" else 1 - dt / tau


def _uniform(values: Any, what: str) -> float:
    first = float(np.asarray(values).flat[0])
    if not np.allclose(values, first, rtol=1e-12, atol=0):
        raise UsageError(f"NIR: {what} differs between neurons")
    return first


def _in_series(graph: nir.NIRGraph, nir: Any) -> tuple[str, list[tuple[str, Any]], dict[str, Any]]:
    """Return the name of the input, the nodes from input to output, and by neurons' name the map that leads from them
    back to them."""
    after: dict[str, list[str]] = {}
    for source, target in dict.fromkeys(graph.edges):
        after.setdefault(source, []).append(target)
    loops: dict[str, Any] = {}
    chain: list[tuple[str, Any]] = []
    first = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(first) != 1:
        raise UsageError(f"NIR: the graph has the inputs {', '.join(first)}; it reads layers in series")
    current = first[0]
    while not isinstance(graph.nodes[current], nir.Output):
        ahead = []
        for target in after.get(current, ()):
            if after.get(target) == [current]:
                loops[current] = graph.nodes[target]
            else:
                ahead.append(target)
        if len(ahead) != 1 or len(chain) > len(graph.nodes):
            raise UsageError(f"NIR: {current} leads to {', '.join(ahead) or 'nothing'}; it reads layers in series")
        (current,) = ahead
        chain.append((current, graph.nodes[current]))
    return first[0], chain[:-1], loops
