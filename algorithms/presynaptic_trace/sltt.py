"""SLTT: spatial learning through time."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import LossAt, loss_over_steps
from throughtime.algorithms.presynaptic_trace.presynaptic_trace import PresynapticTrace
from throughtime.numerics.trees import Tree
from throughtime.registry import algorithm


@algorithm("sltt", title="SLTT")
class SLTT(PresynapticTrace):
    """Spatial learning through time: the gradient within each step, without any trace.

        dE/dW = Σ_t δI^t p^t,       δI^t = (∂o_t/∂I_t)ᵀ L^t,       L as in `presynaptic_trace`,       λ = 0

    It drops all credit through the states of neurons. SLTT-k learns from k steps of each sequence, drawn at random, in
    k/T of the time of the backward part; as in the source its gradient is not divided by the fraction k/T, unless
    `unbiased`. Memory O(1) in T: no trace, some numbers for each step of a block. Time: the products of a step forward
    and backward. With an update at each step, and a readout without a leak, its gradient is 1/T of that of `tbptt` with
    windows of one step, by the same compiled single steps. Source: Meng et al. 2023, section 4 and algorithm 1.

    Args:
        loss_at: `every`: E is the mean over all steps; `end`: only the last step has a gradient.
        update_every: steps between updates; null: one update, at the end of the sequence.
        sampled_steps: k of SLTT-k; null: all steps.
        unbiased: whether the gradient of SLTT-k is multiplied by T/k.

    Raises:
        ValueError: update_every or sampled_steps has loss_at: end; unbiased has no sampled_steps.

    Example:
        >>> rule = tt.build_rule("sltt", sampled_steps=5)
        >>> rule.claims.gradient, rule.claims.memory
        ('approximate', 'O(1)')
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Meng et al. 2023: https://doi.org/10.48550/arXiv.2302.14311
    """

    def __init__(
        self,
        *,
        loss_at: LossAt = "every",
        update_every: PositiveInt | None = None,
        sampled_steps: PositiveInt | None = None,
        unbiased: bool = False,
    ) -> None:
        super().__init__(
            decay=0.0, loss_at=loss_at, update_every=update_every, sampled_steps=sampled_steps, unbiased=unbiased
        )

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        if self.update_every == 1 and not self.sampled_steps and not self.readout.neuron.decay:
            self.stepper = self.single_steps()

    def learn(self, x: Tensor, target: Tree, t: int) -> Tensor | None:
        if self.stepper is None:
            return super().learn(x, target, t)
        _, loss = self.window_gradient(x, lambda y: loss_over_steps(self.task, y, target) / self.steps)
        self.update()
        return self.steps * loss
