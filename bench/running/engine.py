"""The contract between the runner and an engine, which runs passes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from throughtime.running.plan import Planned
from throughtime.spec import Pass


class PassJob(NamedTuple):
    """One pass of one run."""

    planned: Planned
    name: Pass
    folder: Path
    """Folder of the run's files: curve, log, checkpoint, and `<pass>.json` once the pass has ended."""


class Engine(ABC):
    """Runs passes, several at a time.

    A pass that has ended has left its `<pass>.json` in its folder, however it ended. An engine ensures that only one
    measuring pass of a user runs on a machine at a time.
    """

    @abstractmethod
    def width(self, exclusive: bool) -> int:
        """Return how many passes may run at a time: measuring passes, which need a machine each, or others."""

    @abstractmethod
    def start(self, job: PassJob) -> None:
        """Start a pass and return immediately, unless another runner's measuring pass must end first."""

    @property
    @abstractmethod
    def at_work(self) -> list[PassJob]:
        """Started passes that `wait` has not returned yet."""

    @abstractmethod
    def wait(self, seconds: float) -> list[PassJob]:
        """Return the passes that have ended; wait up to `seconds` for the first."""

    @abstractmethod
    def stop(self) -> None:
        """End all passes and wait until they have ended. Training passes get a short time to write a checkpoint; a
        KeyboardInterrupt ends this time."""

    @abstractmethod
    def close(self) -> None:
        """Release the engine's resources; no pass is started afterwards."""
