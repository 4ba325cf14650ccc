"""A rule with a chosen fault in its first run and none in the next."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import torch

from throughtime import algorithm
from throughtime.algorithms.base import Claims, LearningRule


@algorithm("once")
class Once(LearningRule):
    """Learns nothing; at its 15th batch, in the second epoch, goes wrong unless the mark is there.

    Args:
        how: it goes wrong.
        mark: path of a file that it leaves when it does.
    """

    claims = Claims(gradient="approximate", memory="O(1)")
    batches = 0

    def __init__(
        self,
        *,
        how: Literal["raises", "nan", "exits", "is-killed", "hangs", "is-deaf", "hoards", "leaves-one", "chats"],
        mark: str,
    ) -> None:
        self.how, self.mark = how, mark

    def window(self, steps):
        return steps

    def learn(self, x, target, t):
        self.batches += 1
        loss = torch.tensor(1.0)
        if self.batches == 15 and not Path(self.mark).exists():
            Path(self.mark).touch()
            loss = getattr(self, self.how.replace("-", "_"))() or loss
        return loss

    def raises(self):
        raise ValueError("a weight fell off")

    def nan(self):
        return torch.tensor(float("nan"))

    def exits(self):
        os._exit(3)

    def is_killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def hangs(self):
        time.sleep(1000)

    def is_deaf(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)

    def hoards(self):
        self.hoard = torch.ones(2**28)  # 1 GiB
        time.sleep(1000)

    def leaves_one(self):
        """A grandchild that outlives the run, and says who it is in the mark."""
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        Path(self.mark).write_text(str(grandchild.pid))

    def chats(self):
        """A log of a gibibyte, most of which takes no room on the disk."""
        sys.stdout.flush()
        os.ftruncate(1, 2**30)
        print("\nthat was a lot", flush=True)
        raise ValueError("hoarse")
