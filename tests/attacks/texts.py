"""Attacks on what a user writes and on records: suites, command lines, records."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.attacks.basics import ROOT, WORDS, Attempt, call, damaged, reworded
from tests.synthetic_records import grid_store

SUITE = """
suite: attacked
rules: [bptt, {name: fptt, parts: 4}]
neurons: [lif]
networks: [{name: recurrent, hidden: [6]}]
datasets: [{name: digits, steps: 8}]
replicates: 2
passes: [train, bytes]
training: {epochs: 3, batch: 64}
"""
NAMES = ["ls", "plan", "status", "rerun", "table", "figure", "show", "compare", "papers", "bytes", "data", "export"]
OPTIONS = [
    "--scale",
    "--results",
    "--json",
    "--only",
    "--set",
    "--format",
    "--out",
    "--plugin",
    "--measure",
    "--rounds",
]
LONG = {"fetch", "verify", "show"}
"""Words with which a command downloads or reads whole datasets."""
RECORDS = 12
"""Records in a store that is attacked."""


def suites(dice: random.Random, folder: Path) -> Iterator[Attempt]:
    """Damaged texts of suites, planned."""
    texts = [path.read_text("utf-8") for path in sorted(ROOT.glob("bench/suites/*.yaml"))]
    path = folder / "suite.yaml"
    while True:
        text = dice.choice(texts) if dice.random() < 0.05 else SUITE
        # A word replaced mostly remains YAML.
        path.write_bytes(damaged(text.encode(), dice) if dice.random() < 0.4 else reworded(text, dice).encode())
        yield lambda: call("plan", str(path), "--scale", "tiny", "--results", str(folder / "none"))


def commands(dice: random.Random, folder: Path) -> Iterator[Attempt]:
    """Command lines of random words; none that trains for long, downloads or writes outside of the folder."""
    words = [*WORDS, "quick", "tiny", "lif", "bptt", "digits", "accuracy", "csv", str(folder), "ls", "nir", "verify"]
    while True:
        line = [dice.choice(NAMES), *(dice.choice([*OPTIONS, *words]) for _ in range(dice.randint(0, 5)))]
        if not LONG & set(line[1:]):
            yield lambda line=line: call(*line)


def records(dice: random.Random, folder: Path) -> Iterator[Attempt]:
    """Damaged records and learning curves, read by reports and comparisons."""
    runs = sorted(grid_store(folder / "all").folder.glob("*/*"))
    whole = folder / "whole"
    for run in dice.sample(runs, RECORDS):
        shutil.copytree(run, whole / run.parent.name / run.name)
    files = sorted(path for path in whole.rglob("*") if path.is_file())
    while True:
        other = folder / "other"
        shutil.rmtree(other, ignore_errors=True)
        shutil.copytree(whole, other)
        for path in dice.sample(files, dice.randint(1, 3)):
            content = path.read_bytes()
            bad = damaged(content, dice) if dice.random() < 0.5 else reworded(content.decode(), dice).encode()
            (other / path.relative_to(whole)).write_bytes(bad)
        words = dice.choice([["table", "--results"], ["status", "--results"], ["compare", str(whole)]])
        yield lambda words=words, other=other: call(*words, str(other))
