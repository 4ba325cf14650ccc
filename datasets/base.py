"""The dataset contract: shapes, task, splits, and batches in time-major order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar, cast

import torch

from throughtime.datasets.batch import Batch
from throughtime.datasets.files.fetch import DataFile
from throughtime.datasets.task import Task

Split = Literal["train", "validation", "test"]

T = TypeVar("T")


def computed(attribute: Callable[[Any], T]) -> T:
    """Decorator: let a subclass compute an attribute of `Dataset` once, at its first access.

    Type checkers see an attribute of the type that the function returns, as `Dataset` declares it, and no property.
    """
    return cast(T, cached_property(attribute))


class Dataset(ABC):
    """A source of sequences with a fixed train / validation / test split.

    A dataset is registered with `@dataset("name")`; its options are the keyword-only parameters of its constructor.
    Construction must be cheap: data are read or created at the first call of `batches`, `size` or `sha256`. A subclass
    sets the attributes below in its class or its constructor, or computes them with `computed`.
    """

    inputs: int
    """Number of inputs in a time step."""
    steps: int
    """T, time steps in a sequence."""
    outputs: int
    """Width of the readout: classes, or dimensions of the target."""
    task: Task
    layout: tuple[int, ...] | None = None
    """Shape of the inputs of a step as an image, (channels, rows, columns), which is the shape of the network's input;
    None: the inputs are not an image. Batches have the inputs as a vector."""
    evaluation_batch: int = 256
    """Sequences that are evaluated at once; fewer where sequences are large. Evaluation unrolls a part of their steps
    at a time."""

    repeated: float | None = None
    """Largest share of the sequences of a split that repeat an earlier one; `data verify` tests the whole data. None:
    not stated, the share is shown and not tested."""

    licence: str = "unknown"
    files: tuple[DataFile, ...] = ()
    """Files that must be found or downloaded; a dataset with files implements `prepare`."""
    origin: ClassVar[str] = "unknown"
    """Source of the data of a dataset without files: `generated`, `comes with scikit-learn`."""

    @classmethod
    @abstractmethod
    def tiny(cls) -> Dataset:
        """Return a variant for tests and contract checks, which is ready in seconds without network access."""

    def needed(self) -> tuple[DataFile, ...]:
        """Return the files that this dataset reads, which may depend on its options and on the files present."""
        return self.files

    def prepare(self) -> None:
        """Find or download the raw data and verify them; UsageError if that fails."""

    @abstractmethod
    def size(self, split: Split) -> int:
        """Return the number of sequences in a split; for generated data, the number drawn in an epoch."""

    @abstractmethod
    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Yield the split once, in batches of at most `batch` sequences.

        Args:
            split: the split.
            batch: sequences in a batch; the last batch of the split may be smaller.
            generator: source of the random order (or, for generated training data, of the data); `None` keeps the
                order of the split. Validation and test sequences are the same at every call.
        """

    def remark(self) -> str | None:
        """Return a remark on the data that tables show beside every number: samples or labels that were dropped; None
        without one."""
        return None

    @abstractmethod
    def sha256(self) -> str | None:
        """Return the SHA-256 of the raw data; `None` for generated data, which code and options determine."""
