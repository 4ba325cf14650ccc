"""Time of a sequence against its length: e-prop's gradient by scans over blocks, by the rule `eprop`, and BPTT's.

`python -m throughtime.reports.hypr.timing` measures, `... 100 200` at these numbers of steps. The three train on one
batch in turns, on one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import torch

from throughtime.algorithms.eligibility.blocks import BLOCK
from throughtime.datasets.task import Classification
from throughtime.harness.learner import Learner
from throughtime.printing import print_text
from throughtime.registry import ALGORITHMS
from throughtime.reports.hypr.experiment import CLASSES, by_scans, drawn

NEURON, SIZE, BATCH, TURNS = "brf", 32, 8, 5
LENGTHS = (50, 100, 200, 400, 800)


def milliseconds(steps: int) -> dict[str, float]:
    """Return the median time of a batch in ms, by method."""
    network, x, target = drawn(NEURON, SIZE, steps, BATCH)

    def rule(name: str) -> Callable[[], object]:
        network_copy, *_ = drawn(NEURON, SIZE, steps, BATCH)
        learner = Learner(network_copy, ALGORITHMS[name].factory(loss_at="every"), Classification(CLASSES), steps)
        optimiser = torch.optim.SGD(learner.parameters(), lr=0.0)
        return lambda: learner.learn(x, target, optimiser)

    methods = {"bptt": rule("bptt"), "eprop": rule("eprop"), "scans": lambda: by_scans(network, x, target, BLOCK)}
    for method in methods.values():
        method()
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(TURNS):
        for name, method in methods.items():
            start = time.perf_counter()
            method()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: median(seconds) for name, seconds in times.items()}


def rows(lengths: Sequence[int]) -> Iterator[str]:
    """Yield a line of times for each number of steps, below a head."""
    yield f"{NEURON}, {SIZE} neurons, batch {BATCH}, blocks of {BLOCK} steps, float64: ms a batch, median of {TURNS}"
    yield f"{'steps':>6} {'bptt':>9} {'eprop':>9} {'scans':>9}"
    for steps in lengths:
        times = milliseconds(steps)
        yield f"{steps:6} {times['bptt']:9.2f} {times['eprop']:9.2f} {times['scans']:9.2f}"


def main(arguments: Sequence[str]) -> None:
    """Print the times at the numbers of steps in the arguments, or at `LENGTHS`."""
    torch.set_num_threads(1)
    for row in rows([int(steps) for steps in arguments] or LENGTHS):
        print_text(row)


if __name__ == "__main__":
    main(sys.argv[1:])
