"""Backpropagation through time."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from throughtime.algorithms.base import Claims, LearningRule, LossAt
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.numerics.trees import Tree
from throughtime.registry import algorithm, or_default, refuse_unused


@algorithm("bptt", order=0, colour="#0173b2")
class BPTT(LearningRule):
    """Backpropagation through time: the gradient of the whole sequence, one update at its end.

        ΔW = −η ∂E / ∂W,     E = l_T  or  (1/T) Σ_t l_t,     plus c Σ_j (f̄_j − f*)² with a rate cost

    The reference for the other rules: with the surrogate in place of the spike's derivative, no term is dropped. Time
    O(T) per sequence; memory O(T) for the activations of all steps. Source: Werbos 1990.

    Args:
        loss_at: `end`: E = l_T; `every`: E is the mean over all steps.
        rate_cost: c of the firing-rate regularisation, where f̄_j is the mean of neuron j's spikes over batch and steps;
            null: none.
        rate_target: f*, spikes per neuron and step; null: 0.01.
    """

    claims = Claims(gradient="exact", memory="O(T)")
    cost = Cost(time="B T P", memory="B L S + P")

    def __init__(
        self,
        *,
        loss_at: LossAt = "end",
        rate_cost: PositiveFloat | None = None,
        rate_target: NonNegativeFloat | None = None,
    ) -> None:
        refuse_unused("rate_cost", rate_cost is not None, rate_target=rate_target)
        self.loss_at, self.rate_cost, self.rate_target = loss_at, rate_cost, or_default(rate_target, 0.01)

    def coordinates(self) -> Coordinates:
        return Coordinates("none", "J", "all", "exact", "none", "end")

    def window(self, steps: int) -> int:
        return steps

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if self.rate_cost and not (network.spiking and network.layers):
            return "it has no spikes whose rate could be regularised"
        return super().supports(network, task, steps)

    def learn(self, x: Tree, target: Tree, t: int) -> Tensor:
        if self.rate_cost:
            loss = self._regularised_gradient(x, target, self.rate_cost)
        else:
            _, loss = self.window_gradient(x, lambda outputs: self.loss_of(outputs, target, self.loss_at))
        self.update()
        return loss

    def _regularised_gradient(self, x: Tree, target: Tree, c: float) -> Tensor:
        """Add the gradient of E with the rate cost; return the loss without it."""
        window = self.network.unroll(x, self.state)
        loss = self.loss_of(window.outputs, target, self.loss_at)
        excess = [spikes.mean((0, 1)) - self.rate_target for spikes in window.spikes]
        (loss + c * sum(e.square().sum() for e in excess)).backward()
        return loss.detach()
