"""The device of a run: availability, batches on the device, synchronisation.

A GPU computes asynchronously: a call returns before its work is done. Code that measures time or peak memory therefore
synchronises first.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch

from throughtime.datasets.base import Dataset, Split
from throughtime.datasets.batch import Batch
from throughtime.errors import UsageError
from throughtime.spec import Device


def require(device: Device) -> None:
    """Raise UsageError if this machine, or this build of PyTorch, does not have the device."""
    if device == "cuda" and not torch.cuda.is_available():
        why = "PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch finds no CUDA device"
        raise UsageError(f"device cuda: not available, {why}", hint="set `device: cpu`")


def synchronise() -> None:
    """Wait until all work on the GPU is done; return immediately if this process uses none."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def name_of(device: Device) -> str:
    """Return the device's name in records: `cpu`, or the model of the GPU."""
    return torch.cuda.get_device_name() if device == "cuda" else device


def on_device(dataset: Dataset, device: Device) -> Dataset:
    """Return the dataset with its batches on the device; the copy takes place as each batch is drawn."""
    if device == "cpu":
        return dataset
    moving = copy.copy(dataset)

    def batches(split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        for moved in dataset.batches(split, batch, generator):
            yield moved.to(device)

    vars(moving)["batches"] = batches  # an attribute of the instance hides the method of its class
    return moving
