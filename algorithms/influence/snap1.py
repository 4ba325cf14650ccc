"""Sparse one-step approximation of real-time recurrent learning."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.eligibility.diagonal_rtrl import AnyNeuronRule
from throughtime.algorithms.influence.reach_block import derivative_by, own_weights
from throughtime.networks.layer import Layer
from throughtime.neurons.base import Partials
from throughtime.registry import algorithm


@algorithm("snap1")
class SnAp1(AnyNeuronRule):
    """SnAp-1: the influence of a synapse on its own neuron, with the synapse of the neuron on itself.

        ε_j^t  = J_jj^t ε_j^{t−1} + (∂s_j^t/∂I_j^t) p^t
        J_jj   = ∂s_j^t/∂s_j^{t−1} + (∂s_j^t/∂I_j^t) R_jj ∂z_j^{t−1}/∂s_j^{t−1}
        dE/dW_ji = Σ_t L_j^t ē_ji^t                     L and ē as in e-prop, B = the readout's weights

    J_jj is the diagonal of the whole Jacobian. `diagonal_rtrl` and `eprop` have the derivative of the neuron's own step
    alone: the rules are equal if and only if the diagonal of R is 0. The rule drops all credit through other neurons.
    Time and memory are at most those of `diagonal_rtrl`; unlike in `eprop`, no trace is shared by all neurons, since
    each depends on R_jj. Source: Menick et al. 2021, section 3, n = 1.

    Args:
        loss_at: `end`: E = l_T, with a single learning signal; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("snap1")
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Menick et al. 2021: https://doi.org/10.48550/arXiv.2006.07232
    """

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(scope="autapse")

    def layer_partials(self, layer: Layer, current: Tensor, state: Any, next_state: Any) -> Partials:
        partials = self.partials(layer.neuron, current, state, next_state)
        from_previous = dict(partials.from_previous)
        for c, R in enumerate(own_weights(layer)):
            for s, factor in partials.inflows["current"].by_input.items():
                through_itself = derivative_by(factor, c) * R.diagonal()
                from_previous[s, "z"] = from_previous.get((s, "z"), 0.0) + through_itself
        return partials._replace(from_previous=from_previous)
