"""Share of a training step that loading takes.

    python tests/benchmarks/loading.py [--source DIR] [--batch N] [NAME ...]         a name with options: nmnist:pool=2

For each dataset that is here, batches are loaded and learnt in turn as training does it (in random order, time-major,
float32, the process set as a run's), nothing kept of one when the next is loaded:

    first      the very first of a process, the prepared file dropped from the page cache before
    loading    median and least of ROUNDS whole batches
    floor      least time to write as many numbers, all ones, before a batch of them is learnt in the same way
    learning   median by BPTT, 128 recurrent LIF neurons; T cut to 100 where it is larger, and the time scaled to T
               (BPTT's work is proportional to it)
    share      loading / (loading + learning), of the medians

One thread. BPTT on LIF is the cheapest pair of a rule and a spiking neuron that sees whole sequences: with all others
the share is smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from throughtime.algorithms.bptt import BPTT
from throughtime.datasets.base import Batch, Dataset
from throughtime.datasets.files import fetch
from throughtime.errors import UsageError
from throughtime.measuring.process_memory import keep_freed
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import DATASETS

NEURONS, STEPS, ROUNDS = 128, 100, 20


def main() -> None:
    """Measure and print one row per dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--source", action="append", default=[])
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    fetch.add_source(*arguments.source)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed()
    print("dataset                  T   inputs  first ms  loading ms   least  floor ms  learning ms  share %")
    for text in arguments.names or DATASETS.names():
        name, *options = text.split(":")
        try:
            component, given = DATASETS[name], dict(option.split("=") for option in options)
            checked = component.checked({key: json.loads(value) for key, value in given.items()})
            dataset = component.factory(**checked)
            dataset.prepare()
        except (UsageError, ValueError) as error:
            print(f"{text:22}  not run here: {str(error).splitlines()[0][:90]}")
            continue
        row(text, dataset, arguments.batch)


def row(name: str, dataset: Dataset, size: int) -> None:
    """Measure one dataset and print it."""
    for file in (fetch.cache() / "prepared").rglob("x.npy"):
        drop_from_page_cache(file)
    batch, first = timed(lambda: next(dataset.batches("train", size, torch.Generator().manual_seed(0))))
    shape, target = batch.x.shape, batch.target
    learn, whole = learner(dataset), dataset.steps / min(STEPS, dataset.steps)
    learn(batch)
    del batch
    generator, loading, learning, floor = torch.Generator().manual_seed(1), [], [], []
    while len(loading) < ROUNDS:
        batches = dataset.batches("train", size, generator)
        for _ in range(max(1, dataset.size("train") // size)):
            batch, seconds = timed(lambda batches=batches: next(batches))
            loading.append(seconds)
            learning.append(whole * timed(lambda batch=batch: learn(batch))[1])
            del batch
            batch, seconds = timed(lambda: Batch(torch.empty(shape).fill_(1), target))
            floor.append(seconds)
            learn(batch)
            del batch
            if len(loading) == ROUNDS:
                break
    load, learnt = statistics.median(loading), statistics.median(learning)
    least, write = min(loading), min(floor)
    ms = f"{first:9.1f} {load:11.2f} {least:7.2f} {write:9.2f} {learnt:12.1f} {100 * load / (load + learnt):8.2f}"
    print(f"{name:22} {dataset.steps:4} {dataset.inputs:8} {ms}", flush=True)


def timed(do: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and the milliseconds that it took."""
    started = time.perf_counter()
    result = do()
    return result, 1000 * (time.perf_counter() - started)


def learner(dataset: Dataset) -> Callable[[Batch], None]:
    """Return a function that learns the last steps of a batch, where most tasks have their targets."""
    steps = min(STEPS, dataset.steps)
    network = Recurrent(dataset.inputs, dataset.outputs, LIF, hidden=[NEURONS])
    rule = BPTT()
    rule.start(network, dataset.task, steps)

    def learn(batch: Batch) -> None:
        x, target, _ = batch.window(dataset.steps - steps, steps)
        rule.begin(x.shape[1], update(network))
        rule.learn(x, target, 0)
        rule.end()

    return learn


def update(network: torch.nn.Module) -> Callable[[], None]:
    """A plain gradient step: the optimiser is not what is measured."""

    def step() -> None:
        for parameter in network.parameters():
            parameter.grad = None

    return step


def drop_from_page_cache(path: Path) -> None:
    """Drop the cached pages of a file, so that the next access reads the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
