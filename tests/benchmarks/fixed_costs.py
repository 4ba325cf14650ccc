"""Time of a run apart from its training. Run by name: python tests/benchmarks/fixed_costs.py

    --help, status    seconds of the whole command
    first batch       seconds from `throughtime run` to the first batch that its rule is given
    runner            wall time of `throughtime run` with one run of about a minute, over that of the same training as a
                      plain loop in a process of its own: same spec, same data, same evaluations, nothing else

The two of `runner` alternate. Each row has the median, the smallest, the largest and n. One thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SUITE = """
suite: fixed-costs
summary: One run, to time what is around its training.
rules: [{rule}]
neurons: [lif]
networks: [{{name: recurrent, hidden: [128]}}]
datasets: [{{name: adding, steps: 100, sequences: {sequences}}}]
training: {{epochs: {epochs}, batch: 64}}
passes: [train]
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""
FIRST_BATCH = '''
import os
import time
from pathlib import Path

from throughtime.algorithms.bptt import BPTT
from throughtime.registry import algorithm


@algorithm("first_batch")
class FirstBatch(BPTT):
    """BPTT that tells when its first batch comes."""

    def begin(self, batch, update):
        told = Path(os.environ["TOLD"])
        if not told.exists():
            told.write_text(str(time.time()))
        super().begin(batch, update)
'''
THROUGHTIME = (sys.executable, "-m", "throughtime")


def main() -> None:
    """Measure and print one row per quantity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of the long ones; the short ones five times as often")
    parser.add_argument("--sequences", type=int, default=12_800, help="of an epoch of the run of a minute")
    parser.add_argument("--epochs", type=int, default=25, help="of that run")
    parser.add_argument("--plain", metavar="SUITE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        return train_plainly(arguments.plain)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        minute = folder / "minute.yaml"
        minute.write_text(SUITE.format(rule="bptt", sequences=arguments.sequences, epochs=arguments.epochs))
        short = 5 * arguments.runs
        row("--help", [seconds_of(*THROUGHTIME, "--help") for _ in range(short)])
        row("first batch", [first_batch(folder, n) for n in range(short)])
        store = str(folder / "first0")
        row("status", [seconds_of(*THROUGHTIME, "status", "fixed-costs", "--results", store) for _ in range(short)])
        kinds: dict[str, Callable[[int], float]] = {
            "runner": lambda n: seconds_of(*THROUGHTIME, "run", str(minute), "--results", str(folder / f"minute{n}")),
            "plain loop": lambda _: seconds_of(sys.executable, __file__, "--plain", str(minute)),
        }
        result: dict[str, list[float]] = {kind: [] for kind in kinds}
        for n in range(arguments.runs):
            for kind in kinds if n % 2 else reversed(kinds):
                result[kind].append(kinds[kind](n))
        for kind, seconds in result.items():
            row(kind, seconds)
        ratio = statistics.median(result["runner"]) / statistics.median(result["plain loop"])
        print(f"the runner adds {100 * (ratio - 1):.1f} %")


def row(what: str, seconds: list[float]) -> None:
    """Print the results."""
    middle = statistics.median(seconds)
    print(f"{what:12} {middle:7.2f} s   {min(seconds):.2f} to {max(seconds):.2f}   n = {len(seconds)}", flush=True)


def seconds_of(*command: str) -> float:
    """Return the wall time of a command that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def first_batch(folder: Path, n: int) -> float:
    """Seconds from the command to the first batch."""
    suite, plugin, told = folder / "first.yaml", folder / "first_batch.py", folder / f"told{n}"
    suite.write_text(SUITE.format(rule="first_batch", sequences=64, epochs=1))
    plugin.write_text(FIRST_BATCH)
    start = time.time()
    command = [*THROUGHTIME, "run", str(suite), "--plugin", str(plugin), "--results", str(folder / f"first{n}")]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TOLD": str(told)})
    return float(told.read_text()) - start


def train_plainly(suite: str) -> None:
    """The training of the suite's run without a runner."""
    import torch

    from throughtime.harness.batches import evaluate, learn_batch, started
    from throughtime.harness.build import build
    from throughtime.harness.clock import Clock
    from throughtime.measuring.process_memory import keep_freed
    from throughtime.suites.suite import load_suite

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed()
    (spec,) = load_suite(suite).expand("laptop")
    built = build(spec)
    dataset, network, rule = built
    update = started(spec, built, dataset.steps, Clock())
    order = torch.Generator().manual_seed(0)
    for _ in range(spec.training.epochs):
        for batch in dataset.batches("train", spec.training.batch, order):
            float(learn_batch(rule, batch, update))
        update.end_epoch()
        evaluate(network, dataset, "validation")
    for _ in range(2):  # with the best weights and with the last
        evaluate(network, dataset, "test")


if __name__ == "__main__":
    main()
