"""OTTT: online training through time."""

from __future__ import annotations

from pydantic import PositiveInt

from throughtime.algorithms.base import LossAt
from throughtime.algorithms.presynaptic_trace.presynaptic_trace import Decay, PresynapticTrace
from throughtime.registry import algorithm


@algorithm("ottt", title="OTTT")
class OTTT(PresynapticTrace):
    """Online training through time: presynaptic traces that decay as the membrane.

        â^t = λ â^{t−1} + p^t,        dE/dW = Σ_t δI^t â^t,        δI and L as in `presynaptic_trace`,        λ = α

    OTTT_A accumulates the gradient over the sequence, the default; OTTT_O is `update_every: 1`. The gradient is that
    of neurons whose membrane has no other memory than its leak: the rule drops the reset, adaptation, and credit
    through other neurons at later steps. Memory O(1) in T: a number per sample and source of a synapse. Time per step:
    a product for δI â, and one for the signal of the layer below. Source: Xiao et al. 2022, section 4; the bias has a
    trace of 1 here, and none in their code.

    Args:
        decay: λ; null: the leak α of each layer's membrane.
        loss_at: `every`: E is the mean over all steps; `end`: E = l_T.
        update_every: steps between updates; null: one update, at the end of the sequence (OTTT_A).

    Raises:
        ValueError: update_every has loss_at: end.

    Example:
        >>> rule = tt.build_rule("ottt")
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Xiao et al. 2022: https://doi.org/10.48550/arXiv.2210.04195
    """

    def __init__(
        self, *, decay: Decay | None = None, loss_at: LossAt = "every", update_every: PositiveInt | None = None
    ) -> None:
        super().__init__(decay=decay, loss_at=loss_at, update_every=update_every)
