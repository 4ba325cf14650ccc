"""Backpropagation through time."""

from __future__ import annotations

from torch import Tensor

from throughtime.algorithms.base import Claims, LearningRule, LossAt
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.numerics.trees import Tree
from throughtime.registry import algorithm


@algorithm("bptt", order=0, colour="#0173b2")
class BPTT(LearningRule):
    """Backpropagation through time: the gradient of the whole sequence, one update at its end.

        ΔW = −η ∂E / ∂W,     E = l_T  or  (1/T) Σ_t l_t

    The reference for the other rules: with the surrogate in place of the spike's derivative, no term is dropped. Time
    O(T) per sequence; memory O(T) for the activations of all steps. Source: Werbos 1990.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
    """

    claims = Claims(gradient="exact", memory="O(T)")
    cost = Cost(time="B T P", memory="B L S + P")

    def __init__(self, *, loss_at: LossAt = "end") -> None:
        self.loss_at = loss_at

    def coordinates(self) -> Coordinates:
        return Coordinates("none", "J", "all", "exact", "none", "end")

    def window(self, steps: int) -> int:
        return steps

    def learn(self, x: Tree, target: Tree, t: int) -> Tensor:
        _, loss = self.window_gradient(x, lambda outputs: self.loss_of(outputs, target, self.loss_at))
        self.update()
        return loss
