"""What the runner asks of whatever runs passes for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from throughtime.running.plan import Planned
from throughtime.spec import Pass


class Work(NamedTuple):
    """One pass of one run."""

    planned: Planned
    name: Pass
    folder: Path
    """Where the run's files grow: curve, log, checkpoint, and `<pass>.json` once the pass is over."""


class Engine(ABC):
    """Runs passes, several at a time.

    A pass that has ended has left its `<pass>.json` in its folder, however it ended. An engine takes care that a
    measuring pass has its machine to itself among the measuring passes of a user.
    """

    @abstractmethod
    def width(self, exclusive: bool) -> int:
        """How many passes may be at work at a time: measuring passes that need a machine each, or others."""

    @abstractmethod
    def start(self, work: Work) -> None:
        """Have a pass run; returns at once unless it waits for another runner's measuring pass."""

    @property
    @abstractmethod
    def at_work(self) -> list[Work]:
        """Passes that were started and have not been returned by `wait`."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Work]:
        """Passes that have ended; waits up to so many seconds for one."""

    @abstractmethod
    def stop(self) -> None:
        """End all that is at work, and wait for it. Training passes are given a moment to keep a checkpoint; a
        KeyboardInterrupt meanwhile cuts that short."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more will come."""
