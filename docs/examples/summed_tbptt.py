"""A rule outside the package: `throughtime run docs/examples/suite.yaml --plugin docs/examples/summed_tbptt.py ...`."""

from torch import Tensor

from throughtime import algorithm
from throughtime.algorithms.base import Claims, LearningRule
from throughtime.algorithms.credit import Credit
from throughtime.networks.base import Network
from throughtime.networks.products import backward_products


@algorithm("summed_tbptt", title="TBPTT, summed", colour="tab:brown")
class SummedTBPTT(LearningRule):
    """Truncated BPTT with one update per sequence, by the mean gradient of its windows of 5 steps."""

    claims = Claims(gradient="truncated", memory="O(window)")

    def window(self, steps: int) -> int:
        return min(5, steps)

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        return Credit(backward_products(network, self.windows(steps), batch, self.losses), "each window backward")

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        loss = self.window_loss(x, target, "end")
        (loss / len(self.windows(self.steps))).backward()
        if t + len(x) == self.steps:
            self.update()
        return loss.detach()
