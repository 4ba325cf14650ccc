"""How much of a training step is loading? Run by name: python tests/benchmarks/loading.py [--source DIR] [NAME ...]

For each dataset that is here, one batch is loaded as training loads it (in random order, time-major, float32):

    first      the very first of a process, the prepared file dropped from the page cache before
    loading    median of the batches after the first epoch's, or of 20
    learning   median of 3 batches learnt by BPTT, 128 recurrent LIF neurons; T cut to 100 where it is larger, and the
               time scaled to T (BPTT's work is proportional to it)
    share      loading / (loading + learning)

One thread. BPTT on LIF is the cheapest pair of a rule and a spiking neuron that sees whole sequences: with all others
the share is smaller.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from throughtime.algorithms.bptt import BPTT
from throughtime.datasets import fetch
from throughtime.datasets.base import Batch, Dataset
from throughtime.errors import UsageError
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import DATASETS

BATCH, NEURONS, STEPS = 128, 128, 100


def main() -> None:
    """Measure and print a row a dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--source", action="append", default=[])
    arguments = parser.parse_args()
    fetch.add_source(*arguments.source)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print("dataset                  T    inputs   first ms  loading ms  learning ms   share %")
    for name in arguments.names or DATASETS.names():
        try:
            component = DATASETS[name]
            dataset = component.factory(**component.checked({}))
            dataset.prepare()
        except (UsageError, ValueError) as error:
            print(f"{name:22}  not run here: {str(error).splitlines()[0][:90]}")
            continue
        row(name, dataset)


def row(name: str, dataset: Dataset) -> None:
    """Measure one dataset and print it."""
    for file in (fetch.cache() / "prepared").rglob("x.npy"):
        drop_from_page_cache(file)
    started = time.perf_counter()
    batch = next(dataset.batches("train", BATCH, torch.Generator().manual_seed(0)))
    first = 1000 * (time.perf_counter() - started)
    generator, times = torch.Generator().manual_seed(1), []
    while len(times) < 20:
        batches = dataset.batches("train", BATCH, generator)
        while True:
            started = time.perf_counter()
            each = next(batches, None)
            if each is None or len(times) == 20:
                break
            times.append(1000 * (time.perf_counter() - started))
    loading = statistics.median(times)
    learning = 1000 * learn(dataset, batch)
    share = 100 * loading / (loading + learning)
    print(f"{name:22} {dataset.steps:5} {dataset.inputs:8} {first:9.1f} {loading:11.2f} {learning:12.1f} {share:9.2f}")


def learn(dataset: Dataset, batch: Batch) -> float:
    """Seconds that BPTT takes to learn a batch of the dataset's length."""
    steps = min(STEPS, dataset.steps)
    network = Recurrent(dataset.inputs, dataset.outputs, LIF, hidden=[NEURONS])
    rule = BPTT()
    rule.start(network, dataset.task, steps)
    x, target = batch.window(dataset.steps - steps, steps, dataset.per_step)  # the end, where most tasks ask

    def once() -> float:
        started = time.perf_counter()
        rule.begin(x.shape[1], update(network))
        rule.learn(x, target, 0)
        rule.end()
        return time.perf_counter() - started

    once()
    return statistics.median(once() for _ in range(3)) * dataset.steps / steps


def update(network: torch.nn.Module) -> Callable[[], None]:
    """A plain gradient step: the optimiser is not what is measured."""

    def step() -> None:
        for parameter in network.parameters():
            parameter.grad = None

    return step


def drop_from_page_cache(path: Path) -> None:
    """Have the kernel forget what it keeps of a file, so that the next look reads the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
