"""Matrix products of a network's linear maps: how many of each shape its equations need, forward and backward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import nn

from throughtime.networks.base import Network
from throughtime.networks.layer import INPUT, Layer
from throughtime.networks.readout import Readout


class Product(NamedTuple):
    """[m, k] x [k, n], or a batch of so many of them."""

    m: int
    k: int
    n: int
    copies: int = 1

    @property
    def flops(self) -> int:
        """A multiplication and an addition count as two."""
        return 2 * self.m * self.k * self.n * self.copies

    @property
    def operands(self) -> int:
        """Numbers read and written."""
        return (self.m * self.k + self.k * self.n + self.m * self.n) * self.copies


class Map(NamedTuple):
    """A linear map as the network's equations use it, once a step, in windows of steps."""

    reads: int
    """Numbers of its input."""
    makes: int
    """Numbers of its output."""
    at_once: bool
    """Whether one product can take all steps of a window: no step waits for the result of an earlier one."""
    first: int = 0
    """Numbers of its input that depend on trained parameters, in the first step of a window."""
    later: int = 0
    """The same in a later step."""
    at_loss: bool = False
    """Whether its gradient can come from the steps that have a loss alone; else every step of a window has one."""


def maps_of(network: Network) -> list[Map]:
    """The linear maps of a network that are trained.

    The maps of a network that does not describe itself are those of its modules; neither their inputs nor the steps
    whose gradients reach them are known, so no gradient by an input is counted, and gradients by weights as of the
    steps that have a loss.
    """
    if not network.described:
        linear = (m for m in network.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad)
        return [Map(m.in_features, m.out_features, at_once=True, at_loss=True) for m in linear]
    maps = [m for layer in network.layers for m in _maps_of_layer(layer, network.layers)]
    return maps + [m for readout in network.readouts for m in _maps_of_readout(readout)]


def _maps_of_layer(layer: Layer, layers: Sequence[Layer]) -> Iterator[Map]:
    order = [other.name for other in layers]
    for synapse in layer.synapses.values():
        W = synapse.module
        if not isinstance(W, nn.Linear):
            continue
        if synapse.reads == INPUT:  # it depends on no trained parameter
            yield Map(W.in_features, W.out_features, at_once=True)
            continue
        same_step = order.index(synapse.reads) < order.index(layer.name)
        at_once = layer.name not in _sources(synapse.reads, layers)
        first = W.in_features if same_step else 0  # the state before a window is constant
        yield Map(W.in_features, W.out_features, at_once, first, later=W.in_features)
    for gate in layer.gates.values():
        # In a window's first step the current depends on trained parameters, the state does not.
        first = min(gate.in_features, layer.neuron.currents * layer.neuron.size)
        yield Map(gate.in_features, gate.out_features, at_once=False, first=first, later=gate.in_features)


def _sources(name: str, layers: Sequence[Layer]) -> set[str]:
    """The layers whose spikes reach this one, in any number of steps, itself included."""
    reads = {layer.name: {synapse.reads for synapse in layer.synapses.values()} - {INPUT} for layer in layers}
    found = {name}
    while more := set().union(*(reads[source] for source in found)) - found:
        found |= more
    return found


def _maps_of_readout(readout: Readout) -> Iterator[Map]:
    size, outputs = readout.linear.in_features, readout.linear.out_features
    # Behind a constant leak the gradient of a loss is the same at every step but for a factor.
    yield Map(size, outputs, at_once=True, first=size, later=size, at_loss=readout.decay is not None)
    if readout.gate is not None:
        yield Map(2 * outputs, outputs, at_once=False, first=outputs, later=2 * outputs)


def over_windows(windows: Sequence[int], needed: Callable[[int], Counter[Product]]) -> Counter[Product]:
    """The products of all windows together, from those of a window of k steps."""
    total: Counter[Product] = Counter()
    for k, times in Counter(windows).items():
        total.update({product: times * count for product, count in needed(k).items()})
    return total


def forward_products(network: Network, windows: Sequence[int], batch: int) -> Counter[Product]:
    """The products of the steps of these windows, forward."""
    maps = maps_of(network)

    def needed(k: int) -> Counter[Product]:
        found: Counter[Product] = Counter()
        for m in maps:
            rows, times = (k * batch, 1) if m.at_once else (batch, k)
            found[Product(rows, m.reads, m.makes)] += times
        return found

    return over_windows(windows, needed)


def backward_products(
    network: Network, windows: Sequence[int], batch: int, losses: Callable[[int], int]
) -> Counter[Product]:
    """The products of the gradients of these windows, the state before each held constant.

    Args:
        losses: from the length of a window to the number of its steps that have a loss.
    """
    maps = maps_of(network)

    def needed(k: int) -> Counter[Product]:
        found: Counter[Product] = Counter()
        for m in maps:
            graded = losses(k) if m.at_loss else k
            found[Product(m.makes, graded * batch, m.reads)] += 1  # by the weight: one, of all steps
            if m.at_once:
                found[Product(graded * batch, m.makes, m.later)] += 1 if m.later else 0
            else:
                found[Product(batch, m.makes, m.first)] += 1 if m.first else 0
                found[Product(batch, m.makes, m.later)] += k - 1
        return +found

    return over_windows(windows, needed)
