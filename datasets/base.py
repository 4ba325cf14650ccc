"""The dataset contract: shapes, task, splits, and batches in time-major order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from throughtime.datasets.fetch import DataFile
from throughtime.datasets.task import Task

Split = Literal["train", "validation", "test"]


class Batch(NamedTuple):
    """Sequences and what is asked of them."""

    x: Tensor
    """[steps, batch, inputs], float32."""
    target: Tensor
    """[batch] int64 for classification, [batch, outputs] float32 for regression."""


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

    licence: ClassVar[str] = "unknown"
    files: ClassVar[tuple[DataFile, ...]] = ()
    """What must be found or downloaded; a dataset that has any implements `prepare`."""
    origin: ClassVar[str] = "unknown"
    """Of one that has none, where its data come from: `generated`, `comes with scikit-learn`."""

    @classmethod
    @abstractmethod
    def tiny(cls) -> Dataset:
        """A variant that is ready in seconds without a network: what tests and contract checks use."""

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
