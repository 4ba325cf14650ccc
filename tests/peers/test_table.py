"""Sentences and cells of the comparison with other libraries, from rows made by hand."""

from __future__ import annotations

from throughtime.peers.run import Measurement
from throughtime.peers.table import shown, summary


def row(implementation: str, kind: str, median: float, unit: str = "second", **fields) -> Measurement:
    numbers = {"median": median, "min": 0.9 * median, "max": 1.1 * median, "n": 3, "rounds": 1, "ratio": None}
    rest = {"floor": None, "floor_ratio": None, "compile_seconds": None, "threads": 1, "contended": False}
    about = {"difference": None, "note": "", "versions": {}}
    return Measurement("w", implementation, kind, unit, **{**numbers, **rest, **about, **fields})


def test_ours_is_compared_with_the_fastest_of_each_kind():
    """Ours takes 2 ms; of two libraries the faster one takes 5 ms, the plain loop 20 ms; the floor is 1 ms."""
    rows = [row("ours", "ours", 2e-3, floor=1e-3, floor_ratio=2.0), row("slow", "library", 9e-3)]
    rows += [row("fast", "library", 5e-3), row("loop", "plain", 20e-3)]
    said = "w: ours is 10.00 times as fast as loop, 2.50 times as fast as fast, 2.00 times the floor"
    assert summary(rows) == [said]


def test_bytes_are_mebibytes_and_shares():
    rows = [row("ours", "ours", 2.0**20, "byte"), row("loop", "plain", 4 * 2.0**20, "byte")]
    assert summary(rows) == ["w: ours is 25% of the bytes of loop"]
    assert shown(rows)[1]["median"] == "4.00 MiB"


def test_a_shared_machine_is_named_beside_a_note():
    (line,) = shown([row("ours", "ours", 1.0, contended=True, note="another gradient")])
    assert line["note"] == "another gradient; machine shared"
