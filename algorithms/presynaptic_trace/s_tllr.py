"""S-TLLR: STDP-inspired temporal local learning rule."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.eligibility.layer_block import LayerBlock, step_gradient
from throughtime.algorithms.presynaptic_trace.presynaptic_trace import Decay, PresynapticTrace, Within
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.registry import algorithm


@algorithm("s_tllr", title="S-TLLR")
class STLLR(PresynapticTrace):
    """Traces before and after the synapse, as in spike-timing-dependent plasticity, times a learning signal.

        â_i^t = λ_pre â_i^{t−1} + p_i^t,          b_j^t = λ_post b_j^{t−1} + ψ_j^{t−1},          ψ_j^t = ∂o_j^t/∂I_j^t
        dE/dW_ji = Σ_t L_j^t (A_post ψ_j^t â_i^t + A_pre b_j^t p_i^t),          L as in `presynaptic_trace`

    The second term is not causal: it has earlier activity of the neuron and later activity of its input. With A_pre = 0
    and λ_pre = α it is OTTT. ψ has the surrogate of the neuron; the source has h(x) = 1/(100 |x| + 1)². The source
    learns from the last steps of a sequence alone, 5 for DVS-Gesture; `loss_at: end` is the last one. Memory O(1) in T:
    a number per sample and source of a synapse, and one per sample and neuron. Time per step: two products of the size
    of the layer, and one for the signal of the layer below. Source: Apolinario and Roy 2025, as in their code, with
    their factors for DVS-Gesture.

    Args:
        decay: λ_pre; null: the leak α of each layer's membrane.
        post_decay: λ_post.
        causal: A_post.
        noncausal: A_pre.
        loss_at: `every`: E is the mean over all steps; `end`: E = l_T.
        update_every: steps between updates; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("s_tllr")
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Apolinario and Roy 2025: https://doi.org/10.48550/arXiv.2306.15220
    """

    def __init__(
        self,
        *,
        decay: Decay | None = 0.75,
        post_decay: Decay = 0.2,
        causal: float = 1.0,
        noncausal: float = -1.0,
        loss_at: LossAt = "every",
        update_every: PositiveInt | None = None,
    ) -> None:
        super().__init__(decay=decay, loss_at=loss_at, update_every=update_every)
        self.post_decay, self.causal, self.noncausal = post_decay, causal, noncausal

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(recursion="scalar", scope="own neuron")

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if reason := super().supports(network, task, steps):
            return reason
        for layer in network.layers:
            if not layer.neuron.elementwise or layer.neuron.currents > 1:
                return f"{type(layer.neuron).__name__} has no derivative of each neuron by one current of its own"
        return None

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        layers = zip(self.network.layers, self.state.layers, strict=True)
        self.b = {layer.name: torch.zeros_like(state.z) for layer, state in layers}

    def postsynaptic(self, block: LayerBlock) -> Tensor:
        z, name = block.states.z[1:], block.layer.name
        ψ = step_gradient(block, self.sends(block.layer), torch.ones_like(z)).current
        b = torch.cat((self.b[name][None], ψ))
        for before, now in pairwise(b.unbind(0)):
            now.add_(before, alpha=self.post_decay)
        self.b[name] = b[-1].clone()
        return b[:-1]

    def coefficients(self, L: Tensor, within: Within, post: Tensor | None) -> tuple[Tensor, Tensor]:
        assert post is not None
        return self.causal * within().current, self.noncausal * L * post

    def end(self) -> None:
        super().end()
        del self.b
