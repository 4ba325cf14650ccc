"""The device of a run: whether it is there, batches on it, and waiting for it.

A device computes beside the program: a call returns before its work is done. So whoever takes a time or a peak waits
for it first.
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
    """UsageError where this machine, or this build of PyTorch, has no such device."""
    if device == "cuda" and not torch.cuda.is_available():
        why = "PyTorch is built without CUDA" if torch.version.cuda is None else "PyTorch finds no CUDA device"
        raise UsageError(f"device cuda: not run here, {why}", hint="say `device: cpu`")


def synchronise() -> None:
    """Wait until what was asked of the device is done; at once where this process uses none."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def name_of(device: Device) -> str:
    """What a record calls it: `cpu`, or the GPU's name."""
    return torch.cuda.get_device_name() if device == "cuda" else device


def on_device(dataset: Dataset, device: Device) -> Dataset:
    """The dataset, its batches on the device; the move is a part of getting the next one."""
    if device == "cpu":
        return dataset
    moving = copy.copy(dataset)

    def batches(split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        for each in dataset.batches(split, batch, generator):
            yield each.to(device)

    vars(moving)["batches"] = batches  # an attribute of the instance hides the method of its class
    return moving
