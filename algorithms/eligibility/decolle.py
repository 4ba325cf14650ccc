"""DECOLLE: deep continuous local learning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from throughtime.algorithms.base import Claims, output_error
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.algorithms.eligibility.eligibility import EligibilityRule, TraceFilter
from throughtime.algorithms.eligibility.layer_block import LayerBlock, Steps
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer
from throughtime.networks.products import Product
from throughtime.numerics.trees import Tree
from throughtime.registry import algorithm


@algorithm("decolle", title="DECOLLE")
class DECOLLE(EligibilityRule):
    """Deep continuous local learning: each layer minimises the loss of a fixed random readout of its own spikes.

        y_l^t = G_l z_l^t,       L_l^t = G_lᵀ ∂E_l/∂y_l^t,       dE_l/dW_ji = Σ_t L_j^t e_ji^t
        e^t = ε_z^t, the trace of the neuron's own variables (`traces.py`),       E_l = 1/(T − b) Σ_{t ≥ b} l(y_l^t)

    G is drawn from N(0, 1)/√size and stays. For neurons that filter their input, ε_v is the filtered input P of the
    source and e = ψ P. No signal passes from a layer to another, and none comes from the readout of the network, which
    learns by the exact gradient of its own loss. The rule drops credit through other neurons and deeper layers, and
    the reset, unless the neuron gives it a gradient. Memory O(1) in T: a number per sample and source of a synapse for
    each variable that filters the input in the same way for all neurons, else one per synapse. Time per step: a product
    of the size of the layer, and two of its readout. Source: Kaiser, Mostafa and Neftci 2020, who let a network settle
    for 60 steps before it learns.

    Args:
        update_every: steps between updates, 1 in the source; null: one update, at the end of the sequence.
        burn_in: b, steps at the start of a sequence from which the rule does not learn.

    Example:
        >>> rule = tt.build_rule("decolle", burn_in=2)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Kaiser, Mostafa and Neftci 2020: https://doi.org/10.3389/fnins.2020.00424
    """

    claims = Claims(gradient="approximate", memory="O(1)")
    cost = Cost(time="B T P", memory="B L S")  # on LIF, whose trace all neurons share

    def __init__(self, *, update_every: PositiveInt | None = None, burn_in: NonNegativeInt = 0) -> None:
        super().__init__(loss_at="every", update_every=update_every)
        self.burn_in = burn_in

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(signal="local", filter="none")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        if self.burn_in >= steps:
            return f"burn_in leaves none of {steps} steps"
        return self.untraceable(network)

    def learnt(self, steps: int) -> list[int]:
        lengths = self.windows(steps)
        burned = (min(k, end - self.burn_in) for k, end in zip(lengths, accumulate(lengths), strict=True))
        return [n for n in burned if n > 0]

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        credit = super().credit(network, batch, steps)
        return credit._replace(updates=credit.updates - self.burn_in // (self.update_every or steps))

    def signal_products(self, network: Network, rows: int) -> Iterator[Product]:
        linear = network.readouts[0].linear
        yield Product(linear.out_features, rows, linear.in_features)  # δW_out
        for size in (layer.neuron.size for layer in network.layers):
            yield Product(rows, size, linear.out_features)  # y_l
            yield Product(rows, linear.out_features, size)  # L_l

    def sends(self, layer: Layer) -> str:
        return "z"

    def filters_of(self, network: Network, layer: Layer) -> list[TraceFilter]:
        return []

    def passes_down(self, layer: Layer) -> bool:
        return False

    def start(self, network: Network, task: Task, steps: int) -> None:
        super().start(network, task, steps)
        like, sizes = self.readout.linear.weight, {layer.name: layer.neuron.size for layer in network.layers}
        drawn = {name: torch.randn(len(like), size, dtype=like.dtype) / size**0.5 for name, size in sizes.items()}
        self.G = {name: G.to(like.device) for name, G in drawn.items()}  # the same numbers on every device

    def chosen(self, δ: Tensor, end: int) -> tuple[Steps, Tensor]:
        n = min(len(δ), max(0, end - self.burn_in))
        return slice(len(δ) - n, len(δ)), δ[len(δ) - n :] * (self.steps / (self.steps - self.burn_in))

    def signals_of(self, blocks: Sequence[LayerBlock], δ: Tensor, selection: Steps, target: Tree) -> dict[str, Tensor]:
        share, signals = len(blocks[0].currents) / (self.steps - self.burn_in), {}
        for block in blocks:
            G = self.G[block.layer.name]
            _, δ_l = output_error(self.task, block.states.z[1:] @ G.t(), target)
            signals[block.layer.name] = (share * δ_l[selection]) @ G
        return signals

    def step(self, t: int) -> None:
        if t >= self.burn_in:
            self.update()
