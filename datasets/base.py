"""The dataset contract: shapes, task, splits, and batches in time-major order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch

from throughtime.datasets.batch import Batch
from throughtime.datasets.files.fetch import DataFile
from throughtime.datasets.task import Task

Split = Literal["train", "validation", "test"]


class Dataset(ABC):
    """A source of sequences with a fixed train / validation / test split.

    A dataset is registered with `@dataset("name")`; its options are the keyword-only parameters of its constructor.
    Building one must be cheap: data are read or made at the first call of `batches`, `size` or `sha256`.
    """

    inputs: int
    """Numbers a time step."""
    steps: int
    """T, time steps a sequence."""
    outputs: int
    """Width of the readout: classes, or dimensions of the target."""
    task: Task
    layout: tuple[int, ...] | None = None
    """How the inputs of a step make a picture, (channels, rows, columns); None: they make none."""
    evaluation_batch: int = 256
    """Sequences evaluated at once; less where sequences are large. Evaluation unrolls a part of their steps at a
    time."""

    licence: ClassVar[str] = "unknown"
    files: ClassVar[tuple[DataFile, ...]] = ()
    """What must be found or downloaded; a dataset that has any implements `prepare`."""
    origin: ClassVar[str] = "unknown"
    """Of one that has none, where its data come from: `generated`, `comes with scikit-learn`."""

    @classmethod
    @abstractmethod
    def tiny(cls) -> Dataset:
        """A variant that is ready in seconds without a network: what tests and contract checks use."""

    def needed(self) -> tuple[DataFile, ...]:
        """Which files this one reads, where its options, or what is here, decide."""
        return self.files

    def prepare(self) -> None:
        """Bring the raw data into reach and verify them; UsageError if that cannot be."""

    @abstractmethod
    def size(self, split: Split) -> int:
        """Sequences in a split; for generated data, the number drawn an epoch."""

    @abstractmethod
    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Yield the split once, in batches of at most `batch` sequences.

        Args:
            split: which part.
            batch: sequences a batch; the last one of the split may be smaller.
            generator: where the order (or, for generated training data, the data) comes from; `None` keeps the
                order of the split. Validation and test sequences are the same at every call.
        """

    @abstractmethod
    def sha256(self) -> str | None:
        """SHA-256 of the raw data; `None` for generated data, whose source is the code and its options."""
