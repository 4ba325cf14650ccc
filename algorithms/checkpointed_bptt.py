"""Backpropagation through time with memory for the square root of the steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from throughtime.algorithms.base import FORWARD_AND_BACKWARD, Claims, LearningRule, LossAt
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.products import backward_products, forward_products
from throughtime.numerics.trees import Tree, mapped, tensors
from throughtime.registry import algorithm


@algorithm("checkpointed_bptt")
class CheckpointedBPTT(LearningRule):
    """Backpropagation through time that keeps the states between segments of √T steps and computes the rest again.

        ΔW = −η ∂E / ∂W,     E = l_T  or  (1/T) Σ_t l_t
        forward     s_{pL}, the states before the segments p = 0 ... P−1 of L = ⌈√T⌉ steps
        backward    p = P−1 ... 0: segment p again, with its graph; ∂E/∂s_{pL} is the gradient that segment p−1 receives

    The gradient is that of BPTT; only the order of some sums differs. Time O(T), a forward pass of all segments but the
    last more than BPTT; memory O(√T): P states and the activations of L steps. The states are few and the segments are
    windows of the network, so that its compiled windows serve; `torch.utils.checkpoint` would retain their buffers.
    Source: Chen et al. 2016, section 4.1 and algorithm 1; Gruslys et al. 2016.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.

    Example:
        >>> rule = tt.build_rule("checkpointed_bptt")
        >>> rule.segments(10)
        [4, 4, 2]
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Chen et al. 2016: https://doi.org/10.48550/arXiv.1604.06174
        Gruslys et al. 2016: https://doi.org/10.48550/arXiv.1606.03401
    """

    claims = Claims(gradient="exact", memory="O(√T)")
    cost = Cost(time="B T P", memory="B L S + P")

    def __init__(self, *, loss_at: LossAt = "end") -> None:
        self.loss_at = loss_at

    def coordinates(self) -> Coordinates:
        return Coordinates("none", "J", "all", "exact", "none", "end")

    def window(self, steps: int) -> int:
        return steps

    def segments(self, steps: int) -> list[int]:
        """Return the lengths of the segments, in order; only the last may be shorter."""
        L = math.isqrt(steps - 1) + 1
        return [min(L, steps - t) for t in range(0, steps, L)]

    def sizes(self, network: Network, batch: int, steps: int) -> dict[str, int]:
        return super().sizes(network, batch, steps) | {"L": max(self.segments(steps))}

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if network.mixes_samples:
            return "batch normalisation would count the steps twice in its running statistics"
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        products = backward_products(network, [steps], batch, self.losses)
        again = forward_products(network, self.segments(steps)[:-1], batch)
        return Credit(products + again, f"{FORWARD_AND_BACKWARD}, all segments but the last forward twice")

    def learn(self, x: Tree, target: Tree, t: int) -> Tensor:
        batch, lengths, start = Batch(x, target, self.task.per_step), self.segments(self.steps), 0
        first = tensors(self.state)
        parts: list[tuple[Any, Batch]] = []
        for k in lengths:
            parts.append((self.state, batch.window(start, k)))
            start += k
            if start < self.steps:
                with torch.no_grad():
                    self.advance(parts[-1][1].x)
        loss, δ = self._segment(*parts.pop(), ())
        for state, part in reversed(parts):
            part_loss, δ = self._segment(state, part, δ)
            loss = loss + part_loss
        # The first state may depend on parameters.
        if learnt := [(s, δs) for s, δs in zip(first, δ, strict=True) if s.requires_grad]:
            torch.autograd.backward([s for s, _ in learnt], [δs for _, δs in learnt])
        self.update()
        return loss

    def _segment(self, state: Any, part: Batch, δ: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Compute a segment and its gradient.

        Args:
            state: the state before the segment, without a graph.
            part: the inputs and targets of the segment.
            δ: gradient of E by each tensor of the state after the segment; empty for the last segment.

        Returns:
            The segment's part of E, and the gradient of E by each tensor of `state`.
        """
        state = mapped(lambda s: s.detach().requires_grad_(), state)
        window = self.network.unroll(part.x, state)
        every = self.loss_at == "every" or self.task.per_step
        loss = tensors(window.outputs)[0].new_zeros(())
        if every or not δ:
            loss = self.loss_of(window.outputs, part.target, self.loss_at) * (part.steps / self.steps if every else 1)
        later = [pair for pair in zip(tensors(window.state), δ, strict=False) if pair[0].requires_grad]
        roots = [(loss, None)] * loss.requires_grad + later
        torch.autograd.backward([root for root, _ in roots], [gradient for _, gradient in roots])
        return loss.detach(), [torch.zeros_like(s) if s.grad is None else s.grad for s in tensors(state)]
