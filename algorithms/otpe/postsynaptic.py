"""The leak of the layers above a layer, and the mean derivative of its neurons under that leak."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.algorithms.eligibility.layer_block import LayerBlock, step_gradient
from throughtime.algorithms.presynaptic_trace.filters import membrane_decay
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer


class MeanDerivative:
    """Mean of ∂z/∂I over the steps of a sequence so far, with weights that decay as the spikes' effect above.

        ḡ^t = Σ_{s ≤ t} λ^{t−s} g^s / Σ_{s ≤ t} λ^{t−s},         g^t = ∂z^t/∂I^t, the state before the step a constant

    Memory: a number per sample and neuron, and those of a block.

    Args:
        λ: leak of the layers that read the spikes z.
    """

    def __init__(self, λ: float) -> None:
        self.λ = λ
        self.total: Tensor | None = None
        """Numerator at the last step, [batch, size]."""
        self.weight = 0.0
        """Denominator at the last step."""

    def advance(self, block: LayerBlock) -> Tensor:
        """Advance over a block of steps; return ḡ of each, [steps, batch, size]."""
        ḡ = step_gradient(block, "z", torch.ones_like(block.states.z[1:])).current
        weights = []
        for ḡ_t in ḡ.unbind(0):
            if self.total is not None:
                ḡ_t.add_(self.total, alpha=self.λ)
            self.total, self.weight = ḡ_t, self.λ * self.weight + 1
            weights.append(self.weight)
        assert self.total is not None, "a block has a step"
        self.total = self.total.clone()
        return ḡ.div_(ḡ.new_tensor(weights)[:, None, None])


def readers_of(network: Network, layer: Layer) -> list[Layer]:
    """Return the other layers that read a layer."""
    others = (other for other in network.layers if other is not layer)
    return [other for other in others if any(s.reads == layer.name for s in other.synapses.values())]


def readers_leak(network: Network, layer: Layer, decay: float | None) -> float | None:
    """Return λ of a layer: `decay` or, if that is None, the leak of the membranes of the layers that read it; None if
    they have no common one."""
    if decay is not None:
        return decay
    leaks = {membrane_decay(reader.neuron) for reader in readers_of(network, layer)}
    return leaks.pop() if len(leaks) == 1 else None


def mean_derivatives(network: Network, decay: float | None) -> dict[str, MeanDerivative]:
    """Return ḡ of the layers that others read, by name, at the start of a sequence."""
    leaks = {m.name: readers_leak(network, m, decay) for m in network.layers if readers_of(network, m)}
    return {name: MeanDerivative(λ) for name, λ in leaks.items() if λ is not None}


def reason_against(network: Network, decay: float | None) -> str | None:
    """Return why layers of the network have no λ or no ḡ; None if all that others read have both."""
    for layer in (m for m in network.layers if readers_of(network, m)):
        name = type(layer.neuron).__name__
        if not layer.neuron.elementwise or layer.neuron.currents > 1:
            return f"{name} has no derivative of each neuron by one current of its own"
        if readers_leak(network, layer, decay) is None:
            return f"the membranes of the layers that read {layer.name} have no common leak: decay must be a number"
    return None
