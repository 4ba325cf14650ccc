"""Sentences and cells of the comparison with other libraries, from rows made by hand."""

from __future__ import annotations

import pytest

from throughtime.errors import UsageError
from throughtime.peers.run import Measurement
from throughtime.peers.table import insert, shown, summary


def row(implementation: str, kind: str, median: float, unit: str = "second", **fields) -> Measurement:
    numbers = {"median": median, "min": 0.9 * median, "max": 1.1 * median, "n": 3, "rounds": 1, "ratio": None}
    rest = {"floor": None, "floor_ratio": None, "compile_seconds": None, "threads": 1, "contended": False}
    about = {"difference": None, "note": "", "versions": {}}
    return Measurement("w", implementation, kind, unit, **{**numbers, **rest, **about, **fields})


def test_ours_is_compared_with_the_fastest_of_each_kind():
    """Ours takes 2 ms; of two libraries the faster one takes 5 ms, the plain loop 20 ms; the floor is 1 ms."""
    rows = [row("ours", "ours", 2e-3, floor=1e-3, floor_ratio=2.0), row("slow", "library", 9e-3)]
    rows += [row("fast", "library", 5e-3), row("loop", "plain", 20e-3)]
    said = "w, 1 thread: ours is 10.00 times as fast as loop, 2.50 times as fast as fast, 2.00 times the floor"
    assert summary(rows) == [said]


def test_bytes_are_mebibytes_and_shares():
    rows = [row("ours", "ours", 2.0**20, "byte"), row("loop", "plain", 4 * 2.0**20, "byte")]
    assert summary(rows) == ["w, 1 thread: ours is 25% of the bytes of loop"]
    assert shown(rows)[1]["median"] == "4.00 MiB"


def test_a_shared_machine_is_named_beside_a_note():
    (line,) = shown([row("ours", "ours", 1.0, contended=True, note="another gradient")])
    assert line["note"] == "another gradient; machine shared"


def test_the_table_of_a_page_has_a_row_for_each_number_of_threads(tmp_path):
    """1 thread: ours 2 ms, the loop 20 ms, the floor 1 ms; 2 threads: 1 ms, 15 ms, no floor."""
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- peers -->\nold\n<!-- /peers -->\n\nafter\n")
    rows = [row("ours", "ours", 2e-3, floor_ratio=2.0, ratio=1.0), row("loop", "plain", 20e-3, ratio=10.0)]
    rows += [row("ours", "ours", 1e-3, threads=2), row("loop", "plain", 15e-3, threads=2, ratio=15.0)]
    insert([*rows, row("ours", "ours", 2.0**20, "byte")], page)
    insert(rows, page)
    text = page.read_text()
    assert text.startswith("before\n\n<!-- peers -->\n\n") and text.endswith("\n\n<!-- /peers -->\n\nafter\n")
    assert "old" not in text and text.count("| workload |") == 1 and "3 to 3 samples" in text
    assert "| `w` | 1 | 2 (1.8 to 2.2) | 2.00 | loop 10.00 |" in text
    assert "| `w` | 2 | 1 (0.9 to 1.1) | — | loop 15.00 |" in text


def test_a_page_without_the_lines_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- peers -->\n")
    with pytest.raises(UsageError, match="no lines"):
        insert([row("ours", "ours", 1.0)], page)
    assert page.read_text() == "<!-- peers -->\n"
