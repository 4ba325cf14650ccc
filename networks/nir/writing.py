"""A network as a graph of NIR."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.errors import UsageError
from throughtime.networks.base import Network
from throughtime.networks.layer import INPUT, Layer, Synapse
from throughtime.networks.nir.package import Scheme, imported
from throughtime.networks.readout import Readout
from throughtime.neurons.cuba import Cuba
from throughtime.neurons.gate import is_dense
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.neurons.lif import LIF
from throughtime.neurons.plif import PLIF

if TYPE_CHECKING:
    import nir


def to_nir(network: Network, dt: float = 1e-3, scheme: Scheme = "exponential") -> nir.NIRGraph:
    """Return a network as a NIR graph; the trained weights are copied.

    Args:
        network: a network that describes itself, with linear or convolutional synapses, mean pooling, `lif`, `cuba` or
            `plif` neurons that reset to 0, and one readout of spikes with a constant leak.
        dt: length of a step, in seconds.
        scheme: how the receiver discretises time.

    Raises:
        UsageError: NIR cannot describe the network, with the reason; or nir is not installed.
    """
    nir = imported()
    if scheme not in get_args(Scheme) or not dt > 0:
        known = ", ".join(get_args(Scheme))
        raise UsageError(f"NIR: dt is {dt} and the scheme {scheme}; dt is above 0, schemes are {known}")
    if not network.described or len(network.readouts) != 1:
        raise UsageError("NIR: the network must describe itself by `layers` and have one readout")
    readout = network.readouts[0]
    if not isinstance(readout.neuron, LeakyIntegrator) or readout.norm is not None:
        raise UsageError("NIR has no readout with a trained or computed leak, a synapse, a maximum or a normalisation")
    if readout.reads == "v":
        raise UsageError("NIR's neurons transmit spikes; this readout reads membranes (readout: membrane)")
    writer = _Writer(dt, scheme)
    for layer in network.layers:
        writer.add_layer(layer)
    writer.add_readout(readout)
    return nir.NIRGraph(writer.nodes, writer.edges, metadata={"dt": dt, "scheme": scheme})


class _Writer:
    """Collects the nodes and edges of a graph."""

    def __init__(self, dt: float, scheme: Scheme) -> None:
        self.nir, self.dt, self.scheme = imported(), dt, scheme
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        """Shape of what a layer transmits, by its name."""

    def add_layer(self, layer: Layer) -> None:
        if layer.norm is not None:
            raise UsageError(f"NIR has no batch normalisation; {layer.name} has one")
        self.shapes[layer.name] = layer.neuron.shape
        target = self._add(layer.name, _neurons(layer, self.dt, self.scheme), [])
        if layer.resize is not None:
            target = self._add(f"{layer.name}_pool", self._pool(layer.resize, layer.name), [])
            self.edges.append((target, layer.name))
        for name, synapse in layer.synapses.items():
            self.edges.append((self._add_synapse(layer.name, name, synapse), target))

    def _add_synapse(self, layer: str, name: str, synapse: Synapse) -> str:
        """Add the nodes of a synapse; return the name of the last."""
        module, source, label = synapse.module, synapse.reads, f"{layer}_{name}"
        refused = UsageError(f"NIR: the synapse {name} of {layer} is not a plain linear map or convolution")
        if synapse.norm is not None or synapse.dropout is not None:
            raise refused
        steps = (
            list(synapse.view) if isinstance(synapse.view, nn.Sequential) else [synapse.view] if synapse.view else []
        )
        if steps and isinstance(steps[0], nn.Unflatten):
            shape = tuple(int(size) for size in cast("Any", steps.pop(0)).unflattened_size)
        else:
            shape = self.shapes.get(source, ())
        if source == INPUT:
            shape = shape or (cast("nn.Linear", module).in_features,)
            self._add_input(shape)
        for i, step in enumerate(steps):
            if isinstance(step, nn.Flatten):
                node = self.nir.Flatten({"input": np.array(shape)}, start_dim=0)
                shape = (math.prod(shape),)
            else:
                node = self._pool(step, f"the synapse {name} of {layer}")
                shape = tuple(step(torch.zeros(1, *shape)).shape[1:])
            source = self._add(f"{label}_view{i}", node, [source])
        if is_dense(module):
            if len(shape) > 1:
                flat = self.nir.Flatten({"input": np.array(shape)}, start_dim=0)
                source = self._add(f"{label}_view", flat, [source])
            node = _linear(module)
        elif type(module) is nn.Conv2d:
            node = self._convolution(module, shape)
        else:
            raise refused
        return self._add(label, node, [source])

    def _add_input(self, shape: tuple[int, ...]) -> None:
        known = self.shapes.setdefault(INPUT, shape)
        if known != shape:
            raise UsageError(f"NIR: two layers read the input, as {known} and as {shape}")
        self.nodes[INPUT] = self.nir.Input({"input": np.array(shape)})

    def _convolution(self, module: nn.Conv2d, shape: tuple[int, ...]) -> Any:
        weight = module.weight.detach().numpy().copy()
        bias = np.zeros(len(weight), weight.dtype) if module.bias is None else module.bias.detach().numpy().copy()
        padding = cast("tuple[int, int]", module.padding)
        return self.nir.Conv2d(
            (shape[1], shape[2]), weight, module.stride, padding, module.dilation, module.groups, bias
        )

    def _pool(self, module: nn.Module, where: str) -> Any:
        if type(module) is not nn.AvgPool2d:
            raise UsageError(f"NIR has no {type(module).__name__}; {where} has one", hint="pool: {kind: average}")
        node = self.nir.SumPool2d if module.divisor_override == 1 else self.nir.AvgPool2d
        size, stride, padding = (np.broadcast_to(v, 2) for v in (module.kernel_size, module.stride, module.padding))
        return node(size.copy(), stride.copy(), padding.copy())

    def _add(self, name: str, node: Any, sources: list[str]) -> str:
        if name in self.nodes:
            raise UsageError(f'NIR: two nodes have the name "{name}"', hint="rename the layer or readout of this name")
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def add_readout(self, readout: Readout) -> None:
        if len(readout.neuron.shape) > 1 or readout.synapses["linear"].dropout is not None:
            raise UsageError("NIR: a readout is a linear map of a vector, without dropout")
        source, last = readout.layer, readout.name
        linear, κ = cast("nn.Linear", readout.linear), cast("LeakyIntegrator", readout.neuron).decay
        if len(self.shapes[source]) > 1:
            node = self.nir.Flatten({"input": np.array(self.shapes[source])}, start_dim=0)
            source = self._add(f"{last}_view", node, [source])
        self._add(last, _linear(linear), [source])
        if κ:
            ones = np.ones(linear.out_features)
            leak = self.nir.LI(tau=_tau(κ, self.dt, self.scheme) * ones, r=ones, v_leak=0 * ones)
            last = self._add(f"{last}_leak", leak, [last])
        self._add("output", self.nir.Output({"output": np.array([linear.out_features])}), [last])


def _tau(decay: Any, dt: float, scheme: Scheme) -> Any:
    return -dt / np.log(decay) if scheme == "exponential" else dt / (1 - decay)


def _array(value: Tensor | float, shape: tuple[int, ...]) -> np.ndarray:
    values = value.detach().double() if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)
    return values.expand(shape).numpy().copy()


def _linear(module: nn.Linear) -> Any:
    nir = imported()
    weight = module.weight.detach().numpy().copy()
    return nir.Linear(weight) if module.bias is None else nir.Affine(weight, module.bias.detach().numpy().copy())


def _neurons(layer: Layer, dt: float, scheme: Scheme) -> Any:
    nir, neuron = imported(), cast(Any, layer.neuron)  # the attributes of its class, which is tested first
    name, ones = type(neuron).__name__, np.ones(neuron.shape)
    if type(neuron) not in (LIF, Cuba, PLIF):
        raise UsageError(f"NIR has no node for {name}; it has lif, cuba and plif")
    if getattr(neuron, "reset", "zero") != "zero":
        raise UsageError(f"NIR's neurons reset to a value; {name} has reset: {neuron.reset}", hint="reset: zero")
    if getattr(neuron, "delay", 0):
        raise UsageError(f"NIR's membranes integrate the current of their step; {name} has delay: 1", hint="delay: 0")
    if getattr(neuron, "refractory", 0):
        raise UsageError(f"NIR has no refractory period; {name} has one of {neuron.refractory} steps")
    decay: Tensor = 1 - torch.sigmoid(neuron.w.detach().double()) if isinstance(neuron, PLIF) else neuron.alpha
    α = _array(decay, neuron.shape)
    membrane = {"v_leak": 0 * ones, "v_reset": 0 * ones, "v_threshold": _array(neuron.threshold, neuron.shape)}
    r = ones / (1 - α) if getattr(neuron, "input_gain", "leak") == "unit" else ones
    if isinstance(neuron, Cuba):
        τ, τ_s = _tau(α, dt, scheme), _tau(_array(neuron.gamma, neuron.shape), dt, scheme)
        return nir.CubaLIF(tau_mem=τ, tau_syn=τ_s, r=r, w_in=ones / (1 - neuron.gamma), **membrane)
    return nir.LIF(tau=_tau(α, dt, scheme), r=r, **membrane)
