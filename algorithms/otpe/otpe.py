"""OTPE: online training with postsynaptic estimates."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import Claims, LossAt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.eligibility.eligibility import EligibilityRule, TraceFilter
from throughtime.algorithms.eligibility.layer_block import LayerBlock, Steps
from throughtime.algorithms.otpe.postsynaptic import mean_derivatives, readers_leak, readers_of, reason_against
from throughtime.algorithms.presynaptic_trace.presynaptic_trace import Decay
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer
from throughtime.registry import algorithm


@algorithm("otpe", title="OTPE")
class OTPE(EligibilityRule):
    """Online training with postsynaptic estimates: lower layers learn from what their earlier spikes left above them.

        R̂_l^t = λ_l R̂_l^{t−1} + ε_z^t                layers l that others read; the last layer has ε_o^t as e-prop
        ḡ_l^t = Σ_{s ≤ t} λ_l^{t−s} (∂z_l^s/∂I_l^s) / Σ_{s ≤ t} λ_l^{t−s}
        L_l^t = W_mᵀ (ḡ_m^t ∘ L_m^t)                 below the last layer m: W_mᵀ (∂o_m^t/∂I_m^t)ᵀ L_m^t, L_m as e-prop
        dE/dW_ji = Σ_t L_j^t ē_ji^t,                 ē the filter of the readout on R̂ or ε_o

    λ_l is the leak of the membranes that integrate the spikes of layer l. On LIF without recurrent weights and a
    readout without a leak, one and two layers have BPTT's gradient; with more layers ḡ stands for the derivative at
    each earlier step. On one layer the rule is e-prop. It drops credit through recurrent weights. Memory is O(1) in T:
    as for e-prop, and a trace per synapse and sample more. Source: Summe, Schaefer and Joshi 2023, and their code,
    where all layers have one λ and the last layer of neurons is the output.

    Args:
        decay: λ of all layers; null: the leak α of the membranes of the layers that read a layer.
        loss_at: `every`: E is the mean over all steps; `end`: E = l_T.
        update_every: steps between updates; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("otpe")
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8, 8], recurrent_weights=False)
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Summe, Schaefer and Joshi 2023: https://doi.org/10.48550/arXiv.2311.16151
    """

    claims = Claims(gradient="approximate", memory="O(1)")

    def __init__(
        self, *, decay: Decay | None = None, loss_at: LossAt = "every", update_every: PositiveInt | None = None
    ) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every)
        self.decay = decay

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(filter="λ, κ")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        return (
            super().supports(network, task, steps) or self.untraceable(network) or reason_against(network, self.decay)
        )

    def filters_of(self, network: Network, layer: Layer) -> list[TraceFilter]:
        filters = super().filters_of(network, layer)
        if not readers_of(network, layer):
            return filters
        λ = readers_leak(network, layer, self.decay)
        assert λ is not None, "`supports` rejects such a network"
        return [TraceFilter("R̂", λ, 1.0), *filters]

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.means = mean_derivatives(self.network, self.decay)

    def gather(self, block: LayerBlock, L: Tensor | None, selection: Steps, goes_on: bool) -> Tensor | None:
        δI = super().gather(block, L, selection, goes_on)
        if (mean := self.means.get(block.layer.name)) is None:
            return δI
        ḡ = mean.advance(block)
        return None if δI is None or L is None else L * ḡ[selection]

    def end(self) -> None:
        super().end()
        del self.means
