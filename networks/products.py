"""Matrix products of a network's linear maps: the number of products of each shape, forward and backward."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import nn

from throughtime.networks.base import Network
from throughtime.networks.layer import INPUT, Layer


class Product(NamedTuple):
    """The product of an [m, k] and a [k, n] matrix, or a batch of `copies` such products."""

    m: int
    k: int
    n: int
    copies: int = 1

    @property
    def flops(self) -> int:
        """Floating-point operations; a multiplication and an addition count as two."""
        return 2 * self.m * self.k * self.n * self.copies

    @property
    def operands(self) -> int:
        """Numbers that it reads and writes."""
        return (self.m * self.k + self.k * self.n + self.m * self.n) * self.copies


ROWS = 4096
"""Largest number of rows of a product of a convolution. Its input at all positions would not fit into memory."""


class Map(NamedTuple):
    """A linear map that the network's equations use once in each step of a window, or once at each position of an
    image: a convolution is a map of the patch under its kernel to the channels of its output."""

    reads: int
    """Width of its input; numbers in a patch."""
    makes: int
    """Width of its output; channels."""
    at_once: bool
    """Whether one product can compute all steps of a window: no step depends on the result of an earlier one."""
    first: int = 0
    """Width of the part of its input that depends on trained parameters, in the first step of a window."""
    later: int = 0
    """The same for a later step."""
    at_loss: bool = False
    """Whether only the steps with a loss contribute to its gradient; else every step of a window does."""
    positions: int | None = None
    """Number of positions of the output image; None: no convolution."""
    trained: bool = True
    """Whether its weight has a gradient."""

    def rows(self, samples: int) -> Iterator[tuple[int, int]]:
        """Yield the rows of its products for so many samples, and the number of such products."""
        whole, rest = divmod(samples * (self.positions or 1), ROWS)
        if self.positions is None or (not whole and rest):
            yield samples * (self.positions or 1), 1
            return
        yield ROWS, whole
        if rest:
            yield rest, 1


def maps_of(network: Network) -> list[Map]:
    """Return the linear maps of a network, of the gates of its neurons those that are trained.

    The maps of a network that does not describe itself are its trained nn.Linear modules. Their inputs, and the steps
    whose gradients reach them, are unknown, so gradients of inputs do not count, and gradients of weights count for the
    steps with a loss. Convolutions count as the products of all patches with the kernels.
    """
    if not network.described:
        linear = (m for m in network.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad)
        return [Map(m.in_features, m.out_features, at_once=True, at_loss=True) for m in linear]
    maps = [m for layer in network.layers for m in _maps_of_layer(layer, network.layers)]
    for readout in network.readouts:
        # With a constant leak the gradients of a loss at different steps differ only by a factor.
        at_loss, (source, *gates) = readout.neuron.decay is not None, _maps_of_layer(readout, network.layers)
        maps += [source._replace(at_loss=at_loss), *gates]
    return maps


def _maps_of_layer(layer: Layer, layers: Sequence[Layer]) -> Iterator[Map]:
    order = [other.name for other in layers]
    for synapse in layer.synapses.values():
        W = synapse.module
        if isinstance(W, nn.Linear):
            reads, makes, positions = W.in_features, W.out_features, None
        elif isinstance(W, nn.Conv2d):
            reads, makes, positions = W.weight[0].numel(), W.out_channels, layer.positions
        else:
            continue
        trained = W.weight.requires_grad
        if synapse.reads == INPUT:  # it depends on no trained parameter
            yield Map(reads, makes, at_once=True, positions=positions, trained=trained)
            continue
        is_readout = layer not in layers
        same_step = is_readout or order.index(synapse.reads) < order.index(layer.name)
        at_once = is_readout or layer.name not in _sources(synapse.reads, layers)
        later = reads if _learns(synapse.reads, layers) else 0
        first = later if same_step else 0  # the state before a window is constant
        yield Map(reads, makes, at_once, first, later, positions=positions, trained=trained)
    maps_of_state = (getattr(layer.neuron, gate.map) for gate in layer.neuron.gates.values() if not gate.current)
    state_maps = {module for map in maps_of_state for module in map.modules()}
    for gate in layer.gates.values():
        # In a window's first step the current depends on trained parameters, the state does not.
        first = 0 if gate in state_maps else min(gate.in_features, layer.neuron.currents * layer.neuron.size)
        yield Map(gate.in_features, gate.out_features, at_once=False, first=first, later=gate.in_features)
    for conv in (m for m in layer.neuron.modules() if isinstance(m, nn.Conv2d) and m.weight.requires_grad):
        reads, positions = conv.weight[0].numel(), math.prod(layer.neuron.shape[1:])
        # The first step: of concatenated inputs the channels of the current, of a sum all.
        current_inputs = layer.neuron.currents * layer.neuron.shape[0] * conv.weight[0, 0].numel()
        first = 0 if conv in state_maps else min(reads, current_inputs)
        yield Map(reads, conv.out_channels, at_once=False, first=first, later=reads, positions=positions)


def _sources(name: str, layers: Sequence[Layer]) -> set[str]:
    """Return the layers whose spikes reach this one in any number of steps, itself included."""
    reads = {layer.name: {synapse.reads for synapse in layer.synapses.values()} - {INPUT} for layer in layers}
    sources = {name}
    while more := set().union(*(reads[source] for source in sources)) - sources:
        sources |= more
    return sources


def _learns(name: str, layers: Sequence[Layer]) -> bool:
    """Return whether the spikes of a layer depend on trained parameters of neurons or synapses."""
    reaching = [layer for layer in layers if layer.name in _sources(name, layers)]
    modules = (m for layer in reaching for m in (layer.neuron, *(s.module for s in layer.synapses.values())))
    return any(p.requires_grad for module in modules for p in module.parameters())


def over_windows(windows: Sequence[int], needed: Callable[[int], Counter[Product]]) -> Counter[Product]:
    """Return the sum of the products of all windows; `needed` returns those of a window of k steps."""
    total: Counter[Product] = Counter()
    for k, times in Counter(windows).items():
        total.update({product: times * count for product, count in needed(k).items()})
    return total


def forward_products(network: Network, windows: Sequence[int], batch: int) -> Counter[Product]:
    """Return the products of the forward pass of these windows."""
    maps = maps_of(network)

    def needed(k: int) -> Counter[Product]:
        products: Counter[Product] = Counter()
        for m in maps:
            samples, times = (k * batch, 1) if m.at_once else (batch, k)
            for rows, n in m.rows(samples):
                products[Product(rows, m.reads, m.makes)] += n * times
        return products

    return over_windows(windows, needed)


def backward_products(
    network: Network, windows: Sequence[int], batch: int, losses: Callable[[int], int]
) -> Counter[Product]:
    """Return the products of the gradients of these windows; the state before each window is constant.

    Args:
        network: the network.
        windows: lengths of the windows in steps.
        batch: number of sequences.
        losses: number of steps with a loss, as a function of the length of a window.
    """
    maps = maps_of(network)

    def needed(k: int) -> Counter[Product]:
        products: Counter[Product] = Counter()
        for m in maps:
            graded = losses(k) if m.at_loss else k
            for rows, n in m.rows(graded * batch):
                if m.trained:
                    products[Product(m.makes, rows, m.reads)] += n  # gradient of the weight: one product for all steps
                if m.at_once:
                    products[Product(rows, m.makes, m.later)] += n if m.later else 0
            for rows, n in () if m.at_once else m.rows(batch):
                products[Product(rows, m.makes, m.first)] += n if m.first else 0
                products[Product(rows, m.makes, m.later)] += n * (k - 1) if m.later else 0
        return +products

    return over_windows(windows, needed)
