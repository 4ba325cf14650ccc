"""Energy from a folder of counters like the kernel's; where there is none, null with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from throughtime.measuring import energy
from throughtime.measuring.energy import Energy


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """Counters of two packages, of a part of the first, and of the whole board; ranges of 1000 J."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    for folder, name in (("0", "package-0"), ("1", "package-1"), ("0:0", "core"), ("2", "psys")):
        (tmp_path / f"intel-rapl:{folder}").mkdir()
        (tmp_path / f"intel-rapl:{folder}" / "name").write_text(f"{name}\n")
        (tmp_path / f"intel-rapl:{folder}" / "max_energy_range_uj").write_text("1000000000\n")
    show(tmp_path, {"0": 100.0, "1": 200.0, "0:0": 50.0, "2": 400.0})
    return tmp_path


def show(folder: Path, joules: dict[str, float]) -> None:
    for name, value in joules.items():
        (folder / f"intel-rapl:{name}" / "energy_uj").write_text(f"{round(value * 1e6)}\n")


def test_packages_are_added_parts_and_board_are_not(counters):
    with Energy() as used:
        show(counters, {"0": 103.0, "1": 200.5, "0:0": 52.0, "2": 410.0})
    assert used.joules == pytest.approx(3.5)
    assert used.missing is None


def test_a_counter_that_started_again(counters):
    show(counters, {"0": 999.0})
    with Energy() as used:
        show(counters, {"0": 2.0})
    assert used.joules == pytest.approx(3.0)


def test_a_block_so_long_that_a_counter_may_have_wrapped_twice_has_no_number(counters, monkeypatch):
    now = iter((10.0, 20.0, 30.0, 1031.0))
    monkeypatch.setattr(energy.time, "monotonic", lambda: next(now))
    with Energy() as used:
        show(counters, {"0": 103.0})
    assert used.joules is None and "may wrap around" in used.missing
    assert used.measure().value is None


def test_the_measure(counters):
    with Energy() as used:
        show(counters, {"0": 110.0})
    assert used.measure().value == pytest.approx(10) and used.measure().unit == "joule"
    assert used.measure(4, "joule a sequence").value == pytest.approx(2.5)


def test_no_counters(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "none")
    with Energy() as used:
        pass
    assert used.joules is None and "no counter" in used.missing
    assert used.measure().value is None and used.measure().missing == used.missing


def test_counters_that_only_root_may_read(counters, monkeypatch):
    read = Path.read_text

    def denied(path: Path, *args: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, os.strerror(13), str(path))
        return read(path, *args)

    monkeypatch.setattr(Path, "read_text", denied)
    with Energy() as used:
        pass
    assert used.joules is None
    assert used.missing.endswith("energy_uj cannot be read: Permission denied")


def test_a_counter_that_goes_away(counters):
    with Energy() as used:
        (counters / "intel-rapl:1" / "energy_uj").unlink()
    assert used.joules is None and "disappeared during the block" in used.missing


def test_within_the_block_there_is_no_number(counters):
    with Energy() as used:
        assert used.joules is None and used.missing == "the block is not over"


def test_what_the_block_raises_passes(counters):
    with pytest.raises(ZeroDivisionError), Energy():
        raise ZeroDivisionError


def test_on_this_machine_a_number_or_a_reason():
    with Energy() as used:
        sum(range(1000))
    assert (used.joules is None) == (used.missing is not None)
