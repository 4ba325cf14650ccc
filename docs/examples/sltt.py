"""A rule that is not in the package: `throughtime run docs/examples/suite.yaml --plugin docs/examples/sltt.py ...`."""

from torch import Tensor

from throughtime import algorithm
from throughtime.algorithms.base import Claims, LearningRule
from throughtime.algorithms.credit import Credit
from throughtime.networks.base import Network
from throughtime.networks.products import backward_products


@algorithm("sltt", title="SLTT", colour="tab:brown")
class SLTT(LearningRule):
    """Spatial learning through time: the gradient within each step, one update per sequence (Meng et al. 2023)."""

    claims = Claims(gradient="truncated", memory="O(1)")

    def window(self, steps: int) -> int:
        return 1

    def credit(self, network: Network, batch: int, steps: int) -> Credit:
        return Credit(backward_products(network, self.windows(steps), batch, self.losses), "each step backward")

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        loss = self.window_loss(x, target, "end")
        (loss / self.steps).backward()
        if t + 1 == self.steps:
            self.update()
        return loss.detach()
