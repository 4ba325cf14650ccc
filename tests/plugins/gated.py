"""A rule that waits in its second epoch for as long as a file is there, so that tests can act meanwhile."""

import os
import time
from pathlib import Path

from throughtime import algorithm
from throughtime.algorithms.bptt import BPTT


@algorithm("gated")
class Gated(BPTT):
    """BPTT; leaves a line in `<gate>.begun` when it comes to the gate.

    Args:
        gate: path of the file.
        batches: learnt before it looks for the gate.
    """

    def __init__(self, *, gate: str, batches: int = 15) -> None:
        super().__init__()
        self.gate, self.batches, self.seen = gate, batches, 0

    def learn(self, x, target, t):
        self.seen += 1
        if self.seen == self.batches:
            with Path(f"{self.gate}.begun").open("a") as file:
                file.write(f"{os.getpid()}\n")
            while Path(self.gate).exists():
                time.sleep(0.02)
        return super().learn(x, target, t)
