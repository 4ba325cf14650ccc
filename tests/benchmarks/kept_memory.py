"""Speed of training when the C library keeps freed memory. Run by name: python tests/benchmarks/kept_memory.py

For each training, fresh processes alternate between the C library as it is and `keep_freed()`; in each

    ms a batch     processor time, median of the batches after two of warm-up
    faults         pages that the kernel handed out, a batch
    peak MiB       largest resident size of the process, all of torch in it

and at the end the ratios of the medians over processes, kept by not kept. One thread. Processor time depends less
on other load of the machine than wall time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

TRAININGS = {
    "FPTT, K = 10, LTC, adding, T=200 H=128 B=128": (
        *("fptt", {"parts": 10, "adopt_mean": False}, "ltc_adding", "adding_snn", 128),
        *(200, 128, {"clip": 1.0}),
    ),
    "BPTT, LIF, T=100 H=128 B=64": ("bptt", {}, "lif", "recurrent", 128, 100, 64, {}),
    "BPTT, LIF, T=784 H=512 B=64": ("bptt", {}, "lif", "recurrent", 512, 784, 64, {}),
}
"""Rule and options, neuron, network, H, T, B, training."""
SECONDS, WARM_UP = 4.0, 2


def main() -> None:
    """Measure and print one row per training and process, and one row of ratios per training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=5, help="of each kind")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return print(json.dumps(measured(arguments.child[0], arguments.child[1] == "kept")))
    for name in TRAININGS:
        result: dict[str, list[list[float]]] = {"as it is": [], "kept": []}
        for i in range(2 * arguments.processes):
            kind = ("as it is", "kept")[(i + i // 2) % 2]  # either is first as often
            command = [sys.executable, __file__, "--child", name, kind]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            result[kind].append(json.loads(done.stdout))
            row(name, kind, result[kind][-1])
        before, after = ([statistics.median(column) for column in zip(*result[kind], strict=True)] for kind in result)
        ratios = " ".join(f"{k / b if b else math.nan:11.3f}" for k, b in zip(after, before, strict=True))
        print(f"{name:46} {'ratio':9} {ratios}   n = {arguments.processes}", flush=True)


def row(name: str, kind: str, values: Sequence[float]) -> None:
    """Print one row of results."""
    print(f"{name:46} {kind:9} {' '.join(f'{value:11.1f}' for value in values)}", flush=True)


def measured(name: str, kept: bool) -> list[float]:
    """Train in this process; return milliseconds and page faults per batch, and the peak in MiB."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from throughtime.harness.batches import started
    from throughtime.harness.build import build
    from throughtime.harness.clock import Clock
    from throughtime.harness.one_batch import learn_finite, one_batch
    from throughtime.measuring.process_memory import keep_freed
    from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS
    from throughtime.spec import ComponentSpec, RunSpec, Training

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if kept and not keep_freed():
        raise SystemExit("not run here: no mallopt")
    rule, options, neuron, network, H, T, B, training = TRAININGS[name]

    def component(registry, name, **options):
        return ComponentSpec(name=name, options=registry[name].checked(options), label=name)

    spec = RunSpec(
        suite="kept",
        scale="laptop",
        rule=component(ALGORITHMS, rule, **options),
        neuron=component(NEURONS, neuron),
        network=component(NETWORKS, network, hidden=[H]),
        dataset=component(DATASETS, "adding", steps=T, sequences=B, held_out=1),
        training=Training(batch=B, **training),
        passes=["train"],
        replicate=0,
        seed=0,
    )
    built = build(spec)
    batch, update = one_batch(spec, built), started(spec, built, T, Clock())
    times, faults, begun = [], [], time.perf_counter()
    while len(times) < WARM_UP + 5 or time.perf_counter() - begun < SECONDS:
        start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        learn_finite(built, batch, update)
        times.append(1e3 * (time.process_time() - start))
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    return [statistics.median(times[WARM_UP:]), statistics.median(faults[WARM_UP:]), peak]


if __name__ == "__main__":
    main()
