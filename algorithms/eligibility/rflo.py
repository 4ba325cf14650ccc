"""RFLO: random-feedback local online learning."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.registry import algorithm


@algorithm("rflo", title="RFLO")
class RFLO(EProp):
    """Random-feedback local online learning: e-prop's traces, and fixed random weights for the error.

        p_ji^t = (∂o_j^t/∂o_j^{t−1}) p_ji^{t−1} + (∂o_j^t/∂I_j^t) x_i^t,         x = (inputs, z_{t−1}, 1)
        dE/dW_ji = Σ_t (Bᵀ ∂E/∂y_t)_j p_ji^t,                                    E = (1/T) Σ_t l_t  or  l_T

    B is drawn once, from a normal distribution. On the leaky rate unit of the source, where o = h and
    h_t = (1 − α) h_{t−1} + α tanh(I_t), the trace is p_ji^t = (1 − α) p_ji^{t−1} + α tanh'(I_j^t) x_i^t. Other neurons
    have e-prop's traces of all their variables, and a readout with a leak filters them. The rule drops credit through
    other neurons, and knows no weights of the readout. The readout learns by its exact gradient. With B the weights of
    the readout it is e-prop. Memory is O(1) in T and time O(batch × size × fan-in) per step, as for e-prop. Source:
    Murray 2019, in discrete time as in RFLO_Example.ipynb, but with the input of the same step.

    Args:
        loss_at: `every`: E is the mean over all steps; `end`: E = l_T.
        update_every: steps between updates; null: one update, at the end of the sequence.
        feedback_sd: standard deviation of B, 1 in the source; null: 1/√size.

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("rflo")
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Murray 2019: https://doi.org/10.7554/eLife.43299
    """

    def __init__(
        self,
        *,
        loss_at: LossAt = "every",
        update_every: PositiveInt | None = None,
        feedback_sd: PositiveFloat | None = None,
    ) -> None:
        super().__init__(loss_at=loss_at, update_every=update_every, feedback="random", feedback_sd=feedback_sd)
