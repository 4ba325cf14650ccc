"""Approximate OTPE: postsynaptic estimates from filters of the inputs alone."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.eligibility.layer_block import LayerBlock
from throughtime.algorithms.otpe.postsynaptic import mean_derivatives, readers_leak, readers_of, reason_against
from throughtime.algorithms.presynaptic_trace.filters import FilterInSeries
from throughtime.algorithms.presynaptic_trace.presynaptic_trace import Decay, PresynapticTrace, Within
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.registry import algorithm


@algorithm("approximate_otpe", title="approximate OTPE")
class ApproximateOTPE(PresynapticTrace):
    """OTPE whose traces are products of a number per input and a number per neuron.

        â^t = α â^{t−1} + p^t,          ẑ_l^t = λ_l ẑ_l^{t−1} + â^t
        dE/dW = Σ_t (ḡ_l^t ∘ L_l^t) ẑ_l^t          layers l that others read; the last layer is that of `ottt`
        L_l^t = W_mᵀ (ḡ_m^t ∘ L_m^t)               below the last layer m: W_mᵀ (∂o_m^t/∂I_m^t)ᵀ L_m^t

    ḡ and λ_l are those of `otpe`, L of the last layer is that of `presynaptic_trace`; α is the leak of the layer's own
    membrane.

    On one layer the rule is OTTT. Beyond what that drops it takes a mean of a product, of the derivative and the filter
    of the inputs, as the product of their means. Memory O(1) in T: two numbers per sample and source of a synapse, one
    per sample and neuron. Time per step: as for `ottt`. Source: Summe, Schaefer and Joshi 2023, and their code.

    Args:
        decay: α and λ of all layers; null: the leak of each layer's membrane, and of those that read it.
        loss_at: `every`: E is the mean over all steps; `end`: E = l_T.
        update_every: steps between updates; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("approximate_otpe")
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8, 8], recurrent_weights=False)
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Summe, Schaefer and Joshi 2023: https://doi.org/10.48550/arXiv.2311.16151
    """

    def __init__(
        self, *, decay: Decay | None = None, loss_at: LossAt = "every", update_every: PositiveInt | None = None
    ) -> None:
        super().__init__(decay=decay, loss_at=loss_at, update_every=update_every)

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(filter="λ")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        return super().supports(network, task, steps) or reason_against(network, self.decay)

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.means = mean_derivatives(self.network, self.decay)
        for layer in self.network.layers:
            if readers_of(self.network, layer):
                λ = readers_leak(self.network, layer, self.decay)
                assert λ is not None, "`supports` rejects such a network"
                self.filters[layer.name] = FilterInSeries(self.decay_of(layer.neuron), λ)

    def postsynaptic(self, block: LayerBlock) -> Tensor | None:
        mean = self.means.get(block.layer.name)
        return None if mean is None else mean.advance(block)

    def coefficients(self, L: Tensor, within: Within, post: Tensor | None) -> tuple[Tensor, None]:
        return within().current if post is None else post.mul_(L), None

    def passed_down(self, within: Within, δ_trace: Tensor) -> Tensor:
        return δ_trace

    def end(self) -> None:
        super().end()
        del self.means
