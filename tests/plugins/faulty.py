"""Rules that go wrong in every way a run can."""

import os
import signal

import torch

from throughtime import algorithm
from throughtime.algorithms.base import Claims, LearningRule


class Faulty(LearningRule):
    """Learns nothing for 15 batches, then goes wrong."""

    claims = Claims(gradient="approximate", memory="O(1)")
    batches = 0

    def window(self, steps):
        return steps

    def learn(self, x, target, t):
        self.batches += 1
        loss = self.go_wrong() if self.batches > 15 else torch.tensor(1.0)
        return loss


@algorithm("raises")
class Raises(Faulty):
    """Raises an exception."""

    def go_wrong(self):
        raise ValueError("a weight fell off\nand rolled away")


@algorithm("starves")
class Starves(Faulty):
    """Asks for more memory than there is."""

    def go_wrong(self):
        return torch.empty(2**60)


@algorithm("exits")
class Exits(Faulty):
    """Leaves without a word."""

    def go_wrong(self):
        os._exit(3)


@algorithm("is-killed")
class IsKilled(Faulty):
    """Is killed from outside."""

    def go_wrong(self):
        os.kill(os.getpid(), signal.SIGKILL)


@algorithm("goes-nan")
class GoesNaN(Faulty):
    """Its loss is no number any more."""

    def go_wrong(self):
        return torch.tensor(float("nan"))


@algorithm("refuses")
class Refuses(Faulty):
    """Supports nothing."""

    def supports(self, network, task, steps):
        return "it does not feel like it"


@algorithm("lingers")
class Lingers(Faulty):
    """Leaves a mark that it began, and goes on once it is signalled."""

    def go_wrong(self):
        signal.pause()
        return torch.tensor(1.0)
