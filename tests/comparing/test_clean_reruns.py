"""Simulated reruns of unchanged code, with other seeds and another load: the whole gate must not alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.comparing.test_cells import record
from tests.synthetic_records import measure, run_spec
from throughtime.comparing.compare import REGRESSED, compare_sides
from throughtime.comparing.gates import Gates
from throughtime.comparing.sides import Side
from throughtime.records.record import Measure, Record

CELLS, REPLICATES = ("bptt", "tbptt", "fptt", "eprop", "rtrl"), 7
LEVEL = {"accuracy": 0.9, "loss": 0.3, "alignment_cosine.hidden": 0.95}
TOLERANCE = "{metric: accuracy, compare: tolerance, better: higher, fail: 0.01, why: no test at all}"


def sweep(random: np.random.Generator) -> list[Record]:
    """All records of one sweep: results spread by 1 % of their level, times by 5 %, bytes not at all."""
    load = random.uniform(1, 3)
    records = []
    for i, rule in enumerate(CELLS):
        for replicate in range(REPLICATES):
            spec = run_spec(f"{rule} lif digits", replicate)
            measures = {name: measure(level * random.normal(1, 0.01), "1") for name, level in LEVEL.items()}
            if replicate == 0:
                samples = sorted((load * (1 + i) * random.normal(1, 0.05, 11)).tolist())
                measures["wall_time"] = Measure(value=samples[5], unit="second a sequence", method="", samples=samples)
                measures["peak_live_bytes"] = measure(1000.0 * (1 + i), "byte")
                measures["peak_process_bytes"] = measure(4000.0 * (1 + i) * random.normal(1, 0.03), "byte")
            records.append(record(spec, measures=measures))
    return records


def alarms(reruns: int, gates: Gates) -> float:
    """The share of reruns that fail."""
    random = np.random.default_rng(1)
    result = 0
    for _ in range(reruns):
        base, new = (Side(name, sweep(random), []) for name in ("base", "new"))
        result += compare_sides(base, new, gates).exit_code == REGRESSED
    return result / reruns


def without_a_test(folder: Path) -> Gates:
    (folder / "gates.yaml").write_text(f"gates: [{TOLERANCE}]")
    return Gates.load(folder / "gates.yaml")


def test_no_alarm_in_a_few_clean_reruns():
    assert alarms(10, Gates.load()) == 0


def test_a_gate_without_a_test_alarms(tmp_path):
    assert alarms(10, without_a_test(tmp_path)) > 0.5


@pytest.mark.slow
def test_less_than_1_percent_of_1000_clean_reruns_alarm():
    assert alarms(1000, Gates.load()) < 0.01
