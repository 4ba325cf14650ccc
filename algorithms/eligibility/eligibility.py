"""Base of rules with eligibility traces: the gradient of a parameter is its trace times a learning signal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.eligibility.blocks import BlockRule, accumulate, below, diagonal_remark
from throughtime.algorithms.eligibility.cost import carried_traces, fan_in, numbers
from throughtime.algorithms.eligibility.layer_block import LayerBlock, Steps, step_gradient
from throughtime.algorithms.eligibility.trace_block import BlockTraces, Signal, TraceBlock
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer
from throughtime.networks.products import Product
from throughtime.neurons.base import Neuron, Partials
from throughtime.neurons.gate import is_dense


class TraceFilter(NamedTuple):
    """f_t = decay · f_{t−1} + gain · ε_t, an additional variable of a layer's neurons."""

    name: str
    """Name of the variable f."""
    decay: float
    gain: float


class EligibilityRule(BlockRule):
    """A trace of each synapse times a learning signal of each neuron, without a graph in time.

        e^t    = ε_o^t                           o: the variable that the readout reads, z or v; z in lower layers;
                                                 ε as in `traces.py`
        ē^t    = κ ē^{t−1} + (1 − κ) e^t         filter of the readout
        dE/dW_ji = Σ_t L_j^t ē_ji^t,             L and E as in `BlockRule`

    Over a block, the sum is computed at once (`trace_block.py`). The traces of all layers pass the filter of the
    readout, as the effect of all of them on the loss does.

    Args:
        loss_at: `end`: E = l_T, with a single learning signal; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.
    """

    cost = Cost(time="B T P", memory="B P + B L S")

    def __init__(self, *, loss_at: LossAt = "end", update_every: PositiveInt | None = None) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every)
        self.also_wanted: tuple[str, ...] = ()

    def partials(self, neuron: Neuron, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        """Return the partial derivatives of one step, by default those that the neuron states; None if it has none. The
        batch dimension may hold several steps one after the other."""
        return neuron.partials(current, state, next_state)

    def layer_partials(self, layer: Layer, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        """Return the partial derivatives of a layer's step that the traces follow; those of its neurons by default."""
        return self.partials(layer.neuron, current, state, next_state)

    def traces_of(self, layer: Layer, wanted: Sequence[str]) -> BlockTraces:
        """Return the traces of a layer's synapses at the start of a sequence, for signals of the wanted variables."""
        return TraceBlock(layer.neuron.size, wanted)

    def in_blocks(self, layer: Layer) -> bool:
        """Return whether the traces of a layer are computed for a block of steps at once."""
        return True

    def coordinates(self) -> Coordinates:
        return Coordinates("block", "diag D", "own neuron", "instantaneous", "κ", self.update_every or "end")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        for layer in network.layers:
            linear = all(is_dense(synapse.module) for synapse in layer.synapses.values())
            if not linear or len(layer.neuron.shape) != 1:
                return f"{layer.name}: eligibility traces are implemented for linear maps into a vector of neurons"
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        credit, readout, carried = super().credit(network, batch, steps), network.readouts[0], 0
        blocks, learnt = self.windows(steps), self.learnt(steps)
        products = Counter(credit.products)
        for layer in (layer for layer in network.layers if self.in_blocks(layer)):
            reads, filters = readout.reads if layer.name == readout.layer else "z", self.filters_of(network, layer)
            traces = carried_traces(partial(self.layer_partials, layer), layer, reads, len(filters), self.also_wanted)
            carried += numbers(traces)
            for k in blocks[:-1]:  # a trace that all neurons share needs no product
                products.update(Product(rows, k, n, copies=batch) for rows, n in traces if rows > 1)
            # A signal goes back to earlier steps of its block only through traces that differ between neurons.
            shared = all(rows == 1 for rows, _ in traces)
            rows = layer.neuron.currents * layer.neuron.size
            lengths = learnt if shared else blocks[-len(learnt) :]
            products.update(Product(rows, k * batch, fan_in(layer)) for k in lengths)
        return credit._replace(
            products=products,
            contains="dense products forward, those of signals and traces in each block, traces carried between blocks",
            traces=carried * batch * readout.linear.weight.itemsize,
            carries=len(blocks) - 1,
        )

    def untraceable(self, network: Network) -> str | None:
        """Return which neurons have no partial derivatives, or none by a trained parameter of theirs; None if all
        have."""
        for layer, state in zip(network.layers, network.initial_state(1).layers, strict=True):
            neuron, name = layer.neuron, type(layer.neuron).__name__
            partials = self.partials(neuron, state.z.repeat(1, neuron.currents), state, state)
            if partials is None:
                return f"{name} has no partial derivatives (diagonal_rtrl takes them by automatic differentiation)"
            traced, own = {*partials.inflows}, dict(neuron.named_parameters())
            if untraced := [n for n, p in own.items() if p.requires_grad and not {n, n.rpartition(".")[0]} & traced]:
                return f"{name} has no partial derivatives by its own parameters ({', '.join(untraced)})"
        return None

    def remark(self, network: Network) -> str | None:
        return diagonal_remark(network)

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        layers = self.network.layers
        self.filters = {layer.name: self.filters_of(self.network, layer) for layer in layers}
        self.traces = {layer.name: self.traces_of(layer, (self.traced(layer), *self.also_wanted)) for layer in layers}
        self.sums: dict[str, dict[str, Tensor]] = {layer.name: {} for layer in layers}

    def gather(self, block: LayerBlock, L: Tensor | None, selection: Steps, goes_on: bool) -> Tensor | None:
        layer = block.layer
        partials = self.layer_partials(layer, block.currents.flatten(0, 1), block.states_before(), block.states_after())
        assert partials is not None, "`supports` rejects such a neuron"
        partials = filtered(partials, self.sends(layer), self.filters[layer.name])
        signals, traces = self.signals(block), self.traces[layer.name]
        if L is not None:
            signals.append(Signal(self.traced(layer), L, self.sums[layer.name]))
        ones = block.currents.new_ones(*block.currents.shape[:2], 1)
        p = torch.cat((*(source.flatten(2) for source in block.sources.values()), ones), 2)
        traces.gather(partials, p, signals, goes_on)
        if L is None or not self.passes_down(layer):
            return None
        return step_gradient(block, self.sends(layer), L, selection).current

    def filters_of(self, network: Network, layer: Layer) -> list[TraceFilter]:
        """Return the filters that the traces of a layer pass, in order; here that of the readout, if it has one."""
        κ = network.readouts[0].neuron.decay
        return [TraceFilter("ē", κ, 1 - κ)] if κ else []

    def traced(self, layer: Layer) -> str:
        """Return the variable of a layer whose trace meets the learning signal, after the filters."""
        filters = self.filters[layer.name]
        return filters[-1].name if filters else self.sends(layer)

    def passes_down(self, layer: Layer) -> bool:
        """Return whether the layer gives learning signals to others."""
        return any(below(layer))

    def signals(self, block: LayerBlock) -> list[Signal]:
        """Return further signals of a layer's block; a hook for subclasses."""
        return []

    def add_gradients(self) -> None:
        for layer in self.network.layers:
            for name, gradient in self.sums[layer.name].items():
                self.land(layer, name, gradient)
            self.sums[layer.name].clear()
        super().add_gradients()

    def end(self) -> None:
        super().end()
        del self.traces, self.sums, self.filters

    def land(self, layer: Layer, name: str, gradient: Tensor) -> None:
        """Add the gradient by an input of a layer's step, [currents, size, fan-in], to the parameters of this input."""
        rows = gradient.flatten(0, 1)
        if name == "current":
            maps = [s.module for s in layer.synapses.values() if isinstance(s.module, nn.Linear)]
            *parts, d1 = rows.split((*(map.in_features for map in maps), 1), 1)
            for map, d in zip(maps, parts, strict=True):
                accumulate(map.weight, d)
                accumulate(map.bias, d1[:, 0])
            return
        own = dict(layer.neuron.named_parameters(remove_duplicate=False))
        if name in own:
            accumulate(own[name], rows[:, 0].sum_to_size(own[name].shape))
            return
        gate: Any = layer.neuron.get_submodule(name)  # it may be frozen, or have another name too
        accumulate(gate.weight, rows[:, :-1])
        accumulate(gate.bias, rows[:, -1])


def filtered(partials: Partials, reads: str, filters: Sequence[TraceFilter]) -> Partials:
    """Return the partial derivatives with the variables of filters in series, of which the first reads a variable."""
    for name, decay, gain in filters:
        before, within = {**partials.from_previous, (name, name): decay}, {**partials.within_step, (name, reads): gain}
        partials, reads = partials._replace(from_previous=before, within_step=within), name
    return partials
