"""Sparse n-step approximation of real-time recurrent learning."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.coordinates import Coordinates
from throughtime.algorithms.influence.reach_block import own_weights, within_steps
from throughtime.algorithms.influence.reaching import ReachingRule
from throughtime.networks.layer import Layer
from throughtime.registry import algorithm


@algorithm("snap_n")
class SnApN(ReachingRule):
    """SnAp-n: the influence of a synapse on the neurons of its layer that it reaches within n steps.

        M_s^t[k, ji] = Σ_r (∂s_t/∂r_{t−1})_k M_r^{t−1}[k, ji] + Σ_q (∂s_t/∂q_t)_k M_q^t[k, ji]
                       + (∂s_t/∂I_t)_k (Σ_l R_kl M_z^{t−1}[l, ji] + δ_kj p_i^t),      k, l in reach_n(j)
        reach_n(j) = {k: (Σ_{m<n} A^m)_kj > 0},      A_kl = 1 where R_kl ≠ 0
        dE/dW_ji = Σ_t Σ_k L_k^t M̄_o^t[k, ji],      M̄ = κ M̄ + (1 − κ) M_o, the filter of the readout; L as in `eprop`

    The rule is for sparse R (`density` of the network `recurrent`): with dense R, n = 2 reaches every neuron, and the
    gradient of one layer is that of BPTT; n = 1 is `snap1`. Entries of M out of reach are dropped. With K
    neurons in the largest reach, memory is O(1) in T, batch × size × K × fan-in numbers for each variable of the
    neurons; time is O(batch × size × K² × fan-in) per step. Source: Menick et al. 2021, section 3.

    Args:
        n: number of steps.
        loss_at: `end`: E = l_T, with a single learning signal; `every`: E is the mean over all steps.
        update_every: steps between updates, for a loss at every step; null: one update, at the end of the sequence.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("snap_n", n=2)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Menick et al. 2021: https://doi.org/10.48550/arXiv.2006.07232
    """

    def __init__(self, *, n: PositiveInt = 2, loss_at: LossAt = "end", update_every: PositiveInt | None = None) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every)
        self.n = n

    def coordinates(self) -> Coordinates:
        return super().coordinates()._replace(scope="n steps")

    def reach(self, layer: Layer) -> Tensor:
        return within_steps(own_weights(layer), self.n)
