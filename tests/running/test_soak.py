"""A soak: 200 short runs with kills at random times, a second apart on average, end with the records of an undisturbed
sweep.

Children of all passes are killed, the server that they start from, and the runner.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.children import child
from tests.fire import hit
from throughtime.records.store import Store, Stored
from throughtime.running.rerun import differences

HASTY = Path(__file__).parents[1] / "plugins" / "hasty.py"
SUITE = """
suite: soak
summary: 200 runs of a second.
rules:
  - bptt
  - {name: tbptt, window: 3}
  - {name: fptt, parts: 4}
  - eprop
  - {name: eprop, label: adaptive, feedback: adaptive}
neurons: [lif, alif]
networks: [{name: recurrent, hidden: [6], readout: membrane, readout_tau: 0}]
datasets: [{name: digits, steps: 8}]
replicates: 20
passes: [train, bytes]
training: {epochs: 3, batch: 64}
scales: {tiny: {}, laptop: {}, paper: {}}
"""


@pytest.mark.slow
def test_two_hundred_runs_under_fire_end_as_if_undisturbed(tmp_path):
    suite = tmp_path / "soak.yaml"
    suite.write_text(SUITE)
    calm, fire = tmp_path / "calm", tmp_path / "fire"
    with runner(suite, calm) as process:
        assert process.wait(1200) == 0
    dice, hits, began = random.Random(4), Counter(), time.monotonic()
    while True:
        assert time.monotonic() - began < 1800, f"not done after {hits}"
        with runner(suite, fire, "--rerun", "failed", "--plugin", HASTY) as process:
            while process.poll() is None:
                # Kills at regular times would end a pass that takes longer than the interval each time, for ever.
                time.sleep(dice.expovariate(1))
                hits[hit(process, dice)] += 1
        if process.returncode == 0:
            break
    before, now = by_label(calm), by_label(fire)
    assert before.keys() == now.keys() and len(now) == 200
    told = [(label, d) for label in before for d in differences(before[label], now[label]) if d.counts]
    assert told == []
    assert not [label for label, stored in now.items() if stored.record.failed_passes]
    continued = sum(stored.record.continued > 0 for stored in now.values())
    print(f"{dict(hits)}, {continued} runs continued from a checkpoint")
    assert continued and hits["a child killed"] and hits["the runner killed"] and hits["the server killed"]


@contextmanager
def runner(suite: Path, results: Path, *options: object) -> Iterator[subprocess.Popen]:
    words = ["run", suite, "--scale", "tiny", "--results", results, "--jobs", 2, *options]
    with (
        (results.parent / f"{results.name}.log").open("a") as log,
        child([sys.executable, "-m", "throughtime", *map(str, words)], stdout=log, stderr=log) as process,
    ):
        yield process


def by_label(results: Path) -> dict[str, Stored]:
    return {stored.record.label: stored for stored in Store(results).records()}
