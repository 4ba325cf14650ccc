"""Truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import FORWARD_AND_BACKWARD, Claims, LearningRule, LossAt
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.networks.base import Network
from throughtime.networks.products import backward_products
from throughtime.numerics.trees import Tree
from throughtime.registry import algorithm


@algorithm("tbptt", order=1, colour="#de8f05")
class TruncatedBPTT(LearningRule):
    """Truncated backpropagation through time: the graph is cut every K steps, with an update at each cut.

        ΔW = −η w_p ∂l_p / ∂W,     window p = steps pK ... (p+1)K − 1, the state before it held constant

    It drops all credit that crosses a cut, and equals BPTT when K ≥ T. Time O(T), as BPTT; memory O(K). With
    `weights: ramp` and the windows of FPTT it is FPTT without its regulariser. Source: Williams and Peng 1990.

    Args:
        window: K, in steps.
        loss_at: `end`: loss at the last step of the window; `every`: mean over its steps.
        weights: w_p: `equal`, 1; or `ramp`, (p+1)/P for window p of P, so that early windows count less. The reported
            loss is w_p l_p.

    Example:
        >>> rule = tt.build_rule("tbptt", window=4)
        >>> rule.windows(10)
        [4, 4, 2]
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Williams and Peng 1990: https://doi.org/10.1162/neco.1990.2.4.490
    """

    claims = Claims(gradient="truncated", memory="O(window)")
    cost = Cost(time="B T P", memory="B L S + P")

    def __init__(
        self,
        *,
        window: PositiveInt = 10,
        loss_at: LossAt = "end",
        weights: Literal["equal", "ramp"] = "equal",
    ) -> None:
        self.K, self.loss_at, self.weights = window, loss_at, weights

    def coordinates(self) -> Coordinates:
        return Coordinates("none", "J in a window", "all", "exact", "none", "window")

    def window(self, steps: int) -> int:
        return min(self.K, steps)

    def window_weights(self, steps: int) -> Sequence[float]:
        if self.weights == "equal":
            return super().window_weights(steps)
        K = self.window(steps)
        return [ramp(t, K, steps) for t in range(0, steps, K)]

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        windows = self.windows(steps)
        products = backward_products(network, windows, batch, self.losses)
        return Credit(products, FORWARD_AND_BACKWARD, updates=len(windows))

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        if self.window(self.steps) == 1:
            self.stepper = self.single_steps()

    def learn(self, x: Tree, target: Tree, t: int) -> Tensor:
        w = ramp(t, self.window(self.steps), self.steps) if self.weights == "ramp" else 1.0
        _, loss = self.window_gradient(x, lambda outputs: w * self.loss_of(outputs, target, self.loss_at))
        self.update()
        return loss


def ramp(t: int, K: int, steps: int) -> float:
    """Return (p+1)/P for the window p that begins at step t, of P windows of K steps."""
    return (t // K + 1) / -(-steps // K)
