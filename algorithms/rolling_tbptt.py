"""Truncated backpropagation through time in a window that moves by one step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from pydantic import PositiveInt
from torch import Tensor

from throughtime.algorithms.base import FORWARD_AND_BACKWARD, Claims, LearningRule, loss_over_steps
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit
from throughtime.datasets.task import Task
from throughtime.networks.base import Network
from throughtime.networks.products import backward_products, forward_products
from throughtime.numerics.trees import Tree, joined, mapped
from throughtime.registry import algorithm


@algorithm("rolling_tbptt")
class RollingTBPTT(LearningRule):
    """Truncated backpropagation through time at every step: an update with the gradient through the last L steps.

        ΔW_t = −η ∂l_t / ∂W through steps t−L+1 ... t,     the state before them held constant

    Every loss has credit over L steps; in `tbptt` a loss has it only back to the last cut. The steps of the window are
    computed again at each update, with the current weights, from the state that the rule kept before them. The loss is
    that of every step. With L ≥ T and constant weights, the updates add up to T times BPTT's gradient for the mean
    loss; with L = 1 the rule is `tbptt` with windows of one step. Time is O(L) per step, forward and backward; memory
    is O(L). Source: Williams and Peng 1990, BPTT(h) with h = L.

    Args:
        window: L, in steps.

    Example:
        >>> rule = tt.build_rule("rolling_tbptt", window=3)
        >>> rule.spans(4)
        [range(0, 1), range(0, 2), range(0, 3), range(1, 4)]
        >>> network = tt.build_network("recurrent", 3, 2, neuron="lif", hidden=[8])
        >>> learner = tt.Learner(network, rule, Classification(2), steps=10)
        >>> optimiser = torch.optim.Adam(learner.parameters(), lr=1e-3)
        >>> loss = learner.learn(torch.rand(10, 4, 3), torch.tensor([0, 1, 1, 0]), optimiser)

    References:
        Williams and Peng 1990: https://doi.org/10.1162/neco.1990.2.4.490
    """

    claims = Claims(gradient="truncated", memory="O(window)")
    cost = Cost(time="B T L P", memory="B L S + P")
    loss_at = "every"
    state: Any

    def __init__(self, *, window: PositiveInt = 10) -> None:
        self.L = window

    def coordinates(self) -> Coordinates:
        return Coordinates("none", "J in a window", "all", "exact", "none", 1)

    def window(self, steps: int) -> int:
        return 1

    def spans(self, steps: int) -> list[range]:
        return [range(max(0, t + 1 - self.L), t + 1) for t in range(steps)]

    def sizes(self, network: Network, batch: int, steps: int) -> dict[str, int]:
        return super().sizes(network, batch, steps) | {"L": min(self.L, steps)}

    def supports(self, network: Network, task: Task, steps: int) -> str | None:
        if network.mixes_samples and self.L > 1:
            return f"batch normalisation would count a step up to {self.L} times in its running statistics"
        return None

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        lengths = [len(span) for span in self.spans(steps)]
        again = forward_products(network, [k - 1 for k in lengths if k > 1], batch)
        products = backward_products(network, lengths, batch, lambda k: 1)
        return Credit(products + again, f"{FORWARD_AND_BACKWARD} through the last L steps at each step", updates=steps)

    def begin(self, batch: int, update: Callable[[], None]) -> None:
        super().begin(batch, update)
        self.inputs: deque[Tree] = deque(maxlen=self.L)
        self.before: deque[Any] = deque(maxlen=self.L)
        """State before each of the inputs."""

    def learn(self, x: Tree, target: Tree, t: int) -> Tensor:
        self.inputs.append(x)
        self.before.append(self.state)
        self.state = self.before[0]
        outputs = self.advance(joined([*self.inputs])).outputs
        loss = loss_over_steps(self.task, mapped(lambda y: y[-1:], outputs), target)
        loss.backward()
        self.update()
        return loss.detach()

    def end(self) -> None:
        super().end()
        del self.inputs, self.before
