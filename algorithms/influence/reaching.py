"""Base of rules that follow the influence of a synapse on a set of neurons of its layer."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.eligibility.cost import fan_in
from throughtime.algorithms.eligibility.diagonal_rtrl import AnyNeuronRule
from throughtime.algorithms.eligibility.trace_block import BlockTraces
from throughtime.algorithms.influence.reach_block import ReachBlock
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer
from throughtime.networks.products import Product


class ReachingRule(AnyNeuronRule):
    """Traces of each synapse on every neuron in its reach, with the paths through recurrent weights among them.

    The traces are those of `reach_block.py`; learning signals, the filter of the readout and options are those of
    `diagonal_rtrl`. With K neurons in the largest reach, memory is O(1) in T, batch × size × K × fan-in numbers for
    each variable of the neurons; time is O(batch × size × K² × fan-in) per step.
    """

    cost = Cost(time="B T K Z", memory="B Z")

    @abstractmethod
    def reach(self, layer: Layer) -> Tensor | None:
        """Return whether the influence of neuron j's synapses on neuron k is followed, [size, size] by j and k; None:
        on the neuron itself, without recurrent weights, as in `diagonal_rtrl`."""

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(recursion="J")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        for layer in network.layers:
            if not layer.neuron.elementwise and self.reach(layer) is not None:
                return f"the neurons of {layer.name} depend on each other within a step, not through synapses alone"
        return None

    def sizes(self, network: Network, batch: int, steps: int) -> dict[str, int]:
        """Return the symbols of `cost`; K is the largest reach, Z the numbers of a sample that the traces carry."""
        layers = [carried(layer, reach) for layer in network.layers if (reach := self.reach(layer)) is not None]
        K, Z = max((K for K, _ in layers), default=1), sum(Z for _, Z in layers)
        return super().sizes(network, batch, steps) | {"K": K, "Z": Z}

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        credit = super().credit(network, batch, steps)
        products, traces = Counter(credit.products), 0
        for layer in network.layers:
            if (reach := self.reach(layer)) is not None:
                neuron, (K, Z) = layer.neuron, carried(layer, reach)
                product = Product(K, K, neuron.currents * fan_in(layer), copies=batch * neuron.size)
                products[product] += neuron.currents * (steps - 1)  # M is 0 before the first step
                traces += batch * Z * network.readouts[0].linear.weight.itemsize
        if not traces:
            return credit
        contains = "dense products forward, R M in each reach"
        return credit._replace(products=+products, traces=traces, carries=steps - 1, contains=contains)

    def in_blocks(self, layer: Layer) -> bool:
        return self.reach(layer) is None

    def traces_of(self, layer: Layer, wanted: Sequence[str]) -> BlockTraces:
        reach = self.reach(layer)
        return super().traces_of(layer, wanted) if reach is None else ReachBlock(layer, reach)


def carried(layer: Layer, reach: Tensor) -> tuple[int, int]:
    """Return K, the neurons in the largest reach, and the numbers of a sample that the traces of a layer carry."""
    K, neuron = int(reach.sum(1).max()), layer.neuron
    with torch.random.fork_rng(devices=[]):
        variables = len(neuron.initial_state(1, reach.float()))
    return K, variables * neuron.size * K * neuron.currents * fan_in(layer)
