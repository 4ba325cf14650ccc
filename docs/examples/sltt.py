"""A rule that is not in the package: `throughtime run docs/examples/suite.yaml --plugin docs/examples/sltt.py ...`."""

from torch import Tensor

from throughtime import algorithm
from throughtime.algorithms.base import Claims, LearningRule


@algorithm("sltt")
class SLTT(LearningRule):
    """Spatial learning through time: each step's gradient on its own, one update a sequence (Meng et al. 2023)."""

    claims = Claims(gradient="truncated", memory="O(1)")

    def window(self, steps: int) -> int:
        return 1

    def learn(self, x: Tensor, target: Tensor, t: int) -> Tensor:
        loss = self.window_loss(x, target, "end")
        (loss / self.steps).backward()
        if t + 1 == self.steps:
            self.update()
        return loss.detach()
