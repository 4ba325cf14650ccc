"""Exchange of networks with other libraries in the Neuromorphic Intermediate Representation (NIR).

NIR describes neurons in continuous time; a network here takes steps of length dt:

    τ v̇ = −v + R I,  z = [v > θ],  v ← 0 after a spike         v_t = α v_{t−1} (1 − z_{t−1}) + (1 − α) R I_t

α = exp(−dt/τ) is the exact solution for a current that is constant during a step (`exponential`), α = 1 − dt/τ the
explicit Euler step (`euler`), which norse and snnTorch take. CubaLIF is the same with i_t = γ i_{t−1} + (1 − γ) w I_t
in place of I_t. An edge that closes a loop, such as that of recurrent weights, transmits the spikes of the step before;
all others those of the same step. A network that NIR cannot describe is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.errors import UsageError
from throughtime.networks.base import Network
from throughtime.networks.layer import INPUT, Layer
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron
from throughtime.neurons.cuba import Cuba
from throughtime.neurons.gate import is_dense
from throughtime.neurons.integrators import LeakyIntegrator
from throughtime.neurons.lif import LIF
from throughtime.neurons.plif import PLIF

if TYPE_CHECKING:
    import nir

Scheme = Literal["exponential", "euler"]
"""How a decay per step follows from a time constant."""


def imported() -> Any:
    """Return the package `nir`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import nir
    except ImportError as error:
        raise UsageError(
            "NIR needs the package nir, which is not installed", hint="pip install 'throughtime[nir]'"
        ) from error
    return nir


def to_nir(network: Network, dt: float = 1e-3, scheme: Scheme = "exponential") -> nir.NIRGraph:
    """Return a network as a NIR graph; the trained weights are copied.

    Args:
        network: a network that describes itself, with linear synapses, `lif`, `cuba` or `plif` neurons that reset to 0,
            and one readout of spikes with a constant leak.
        dt: length of a step, in seconds.
        scheme: how the receiver discretises time.

    Raises:
        UsageError: NIR cannot describe the network, with the reason; or nir is not installed.
    """
    nir = imported()
    if not network.described or len(network.readouts) != 1:
        raise UsageError("NIR: the network must describe itself by `layers` and have one readout")
    readout = network.readouts[0]
    if not isinstance(readout.neuron, LeakyIntegrator) or readout.norm is not None:
        raise UsageError("NIR has no readout with a computed leak or a normalisation")
    if readout.reads == "v":
        raise UsageError("NIR's neurons transmit spikes; this readout reads membranes (readout: membrane)")
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    for layer in network.layers:
        nodes[layer.name] = _neurons(layer, dt, scheme)
        for name, synapse in layer.synapses.items():
            plain = layer.is_affine and synapse.norm is None and synapse.view is None
            if not plain or not is_dense(synapse.module):
                raise UsageError(f"NIR: the synapse {name} of {layer.name} is not a plain linear map")
            nodes[f"{layer.name}_{name}"] = _linear(synapse.module)
            edges += [(synapse.reads, f"{layer.name}_{name}"), (f"{layer.name}_{name}", layer.name)]
    first = next(s.module for s in network.layers[0].synapses.values() if s.reads == INPUT)
    nodes[INPUT] = nir.Input({"input": np.array([first.in_features])})
    last = readout.name
    linear, κ = cast("nn.Linear", readout.linear), readout.neuron.decay
    nodes[last] = _linear(linear)
    edges.append((readout.layer, last))
    if κ:
        ones = np.ones(linear.out_features)
        nodes[f"{last}_leak"] = nir.LI(tau=_tau(κ, dt, scheme) * ones, r=ones, v_leak=0 * ones)
        edges.append((last, f"{last}_leak"))
        last = f"{last}_leak"
    nodes["output"] = nir.Output({"output": np.array([linear.out_features])})
    edges.append((last, "output"))
    return nir.NIRGraph(nodes, edges, metadata={"dt": dt, "scheme": scheme})


def from_nir(graph: nir.NIRGraph, dt: float | None = None, scheme: Scheme | None = None) -> Recurrent:
    """Return the network of a NIR graph: layers of LIF or CubaLIF in series, each with or without recurrent weights,
    and a linear readout with or without LI.

    Scales of a current (R, w) and thresholds that differ within a layer become factors of the weights, which leaves
    the spikes unchanged; a layer without recurrent weights gets weights of 0.

    Args:
        graph: the graph.
        dt: length of a step, in seconds; None: that of the graph's metadata, or 1e-3.
        scheme: how time is discretised; None: that of the graph's metadata, or `exponential`.

    Raises:
        UsageError: the graph has another form, or a node of another type; its metadata have another dt or scheme; or
            nir is not installed.
    """
    nir = imported()
    dt, scheme = _stated(graph, "dt", dt, 1e-3), _stated(graph, "scheme", scheme, "exponential")
    chain, loops = _in_series(graph, nir)
    leak = chain.pop() if chain and isinstance(chain[-1][1], nir.LI) else None
    if len(chain) < 3 or len(chain) % 2 == 0:
        raise UsageError("NIR: from_nir reads layers in series: a linear map and neurons, each, then a linear readout")
    for name, node in (*chain[::2], *((f"the loop of {source}", node) for source, node in loops.items())):
        if not isinstance(node, nir.Linear | nir.Affine):
            raise UsageError(f"NIR: {name} is a {type(node).__name__}; from_nir reads Linear and Affine there")
    *pairs, (_, linear) = chain
    maps, cells = [node for _, node in pairs[::2]], pairs[1::2]
    κ = 0.0 if leak is None else _uniform(_alpha(leak[1].tau, dt, scheme), f"tau of {leak[0]}")
    if leak is not None and (np.any(leak[1].r != 1) or np.any(leak[1].v_leak)):
        raise UsageError(f"NIR: {leak[0]} has r other than 1 or v_leak other than 0")
    inputs, sizes = maps[0].weight.shape[1], [node.weight.shape[0] for node in maps]
    layers = [_layer_of(name, node, dt, scheme, nir) for name, node in cells]
    built = iter([layers[0], *layers])  # `Recurrent` first asks one layer for its number of currents
    network = Recurrent(
        inputs,
        linear.weight.shape[0],
        lambda shape: next(built)[0],
        hidden=sizes,
        readout_tau=0.0,
        recurrent_bias=True,
    )
    network.readouts[0].neuron.decay = κ
    with torch.no_grad():
        for layer, node, (name, _), (_, scale) in zip(network.layers, maps, cells, layers, strict=True):
            _set(layer.inward, node, scale)
            _set(layer.recurrent, loops.get(name), scale)
        _set(network.readouts[0].linear, linear, None)
    return network


# --- parts of a graph


def _stated(graph: nir.NIRGraph, name: str, given: Any, default: Any) -> Any:
    """Return an argument of `from_nir`, or the value that the graph's metadata have in its place."""
    there = graph.metadata.get(name)
    if given is not None and there is not None and given != there:
        raise UsageError(f"NIR: {name} is {given}; the graph's metadata say {there}", hint=f"{name}=None takes {there}")
    chosen = next(value for value in (given, there, default) if value is not None)
    if name == "scheme" and chosen not in get_args(Scheme):
        raise UsageError(f"NIR: no scheme {chosen}; there are {', '.join(get_args(Scheme))}")
    return chosen


def _tau(decay: Any, dt: float, scheme: Scheme) -> Any:
    return -dt / np.log(decay) if scheme == "exponential" else dt / (1 - decay)


def _alpha(tau: Any, dt: float, scheme: Scheme) -> Any:
    return np.exp(-dt / tau) if scheme == "exponential" else 1 - dt / tau


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


def _layer_of(name: str, node: Any, dt: float, scheme: Scheme, nir: Any) -> tuple[Neuron, Tensor]:
    """Return the neurons of a node, and the factor of the currents of each."""
    if not isinstance(node, nir.LIF | nir.CubaLIF):
        raise UsageError(f"NIR: {name} is a {type(node).__name__}; from_nir reads LIF and CubaLIF")
    if np.any(node.v_leak) or np.any(node.v_reset):
        raise UsageError(f"NIR: {name} has a resting or reset potential other than 0")
    θ = float(node.v_threshold.flat[0])
    scale, size = node.r * θ / node.v_threshold, node.v_threshold.size
    if isinstance(node, nir.CubaLIF):
        γ = _uniform(_alpha(node.tau_syn, dt, scheme), f"tau_syn of {name}")
        neuron: Any = Cuba(size, threshold=θ)
        neuron.gamma, scale, τ = γ, scale * node.w_in * (1 - γ), node.tau_mem
    else:
        neuron, τ = LIF(size, threshold=θ, reset="zero"), node.tau
    neuron.alpha = torch.tensor(_alpha(τ, dt, scheme), dtype=torch.float32).flatten()
    return neuron, torch.tensor(scale, dtype=torch.float64).flatten()


def _set(module: nn.Linear, node: Any, scale: Tensor | None) -> None:
    """Set weight and bias to those of a node, scaled by rows; to 0 without a node."""
    if node is None:
        module.weight.zero_()
        module.bias.zero_()
        return
    scale = torch.ones(len(module.weight), dtype=torch.float64) if scale is None else scale
    module.weight.copy_(torch.tensor(node.weight).double() * scale[:, None])
    bias = torch.tensor(node.bias).double() if hasattr(node, "bias") else torch.zeros(len(module.weight))
    module.bias.copy_(bias * scale)


def _uniform(values: Any, what: str) -> float:
    first = float(np.asarray(values).flat[0])
    if not np.allclose(values, first, rtol=1e-12, atol=0):
        raise UsageError(f"NIR: {what} differs between neurons")
    return first


def _in_series(graph: nir.NIRGraph, nir: Any) -> tuple[list[tuple[str, Any]], Mapping[str, Any]]:
    """Return the nodes from input to output, and by neurons' name the linear map that leads from them back to them."""
    after: dict[str, list[str]] = {}
    for source, target in dict.fromkeys(graph.edges):
        after.setdefault(source, []).append(target)
    loops: dict[str, Any] = {}
    chain: list[tuple[str, Any]] = []
    first = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(first) != 1:
        raise UsageError(f"NIR: the graph has the inputs {', '.join(first)}; from_nir reads layers in series")
    (current,) = first
    while not isinstance(graph.nodes[current], nir.Output):
        ahead = []
        for target in after.get(current, ()):
            if after.get(target) == [current]:
                loops[current] = graph.nodes[target]
            else:
                ahead.append(target)
        if len(ahead) != 1 or len(chain) > len(graph.nodes):
            raise UsageError(
                f"NIR: {current} leads to {', '.join(ahead) or 'nothing'}; from_nir reads layers in series"
            )
        (current,) = ahead
        chain.append((current, graph.nodes[current]))
    return chain[:-1], loops
