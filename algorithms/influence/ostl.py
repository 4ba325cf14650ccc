"""Online spatio-temporal learning."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.algorithms.influence.reach_block import own_weights
from throughtime.algorithms.influence.reaching import ReachingRule
from throughtime.networks.layer import Layer
from throughtime.neurons.base import Neuron, Partials
from throughtime.registry import algorithm


@algorithm("ostl", title="OSTL")
class OSTL(ReachingRule):
    """Online spatio-temporal learning: the exact influence inside each layer, and learning signals between layers.

        M_l^t  = J_l^t M_l^{t−1} + ∂s_l^t/∂θ_l          layer l; J_l = ∂s_l^t/∂s_l^{t−1}
        J_l    = D_l + (∂s_l/∂I_l) R_l with H,   D_l without: the derivatives of each neuron by its own state
        L_l^t  = Σ_m (∂I_m^t/∂z_l^t)ᵀ (∂o_m^t/∂I_m^t)ᵀ L_m^t,   of the last layer W_outᵀ ∂E/∂y^t
        dE/dθ_l = Σ_t L_l^t M̄_l^t,                      M̄ = κ M̄ + (1 − κ) M_o, the filter of the readout

    H is the recurrent part of the Jacobian. With H the gradient of one layer is that of BPTT. Through several layers
    the rule drops the paths that pass from layer to layer at one step and go on in time in the upper layer. Without H
    it also drops all paths through other neurons, and equals `diagonal_rtrl`. With H and N neurons in a layer, memory
    is O(1) in T, batch × N² × fan-in numbers for each variable of the neurons, and time O(batch × N³ × fan-in) per
    step; without H both are those of `diagonal_rtrl`. Source: Bohnstingl et al. 2022.

    Args:
        with_H: whether J has the recurrent part.
        loss_at: `end`: E = l_T, with a single learning signal; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("ostl", with_H=False)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Bohnstingl et al. 2022: https://doi.org/10.48550/arXiv.2007.12723
    """

    def __init__(
        self, *, with_H: bool = True, loss_at: LossAt = "end", update_every: PositiveInt | None = None
    ) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every)
        self.with_H = with_H
        self.cost = super().cost if with_H else DiagonalRTRL.cost

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(scope="layer") if self.with_H else DiagonalRTRL.coordinates(self)

    def partials(self, neuron: Neuron, current: Tensor, state: Any, next_state: Any) -> Partials:
        rule = ReachingRule if self.with_H else DiagonalRTRL
        return rule.partials(self, neuron, current, state, next_state)

    def reach(self, layer: Layer) -> Tensor | None:
        return torch.ones_like(own_weights(layer)[0], dtype=torch.bool) if self.with_H else None
