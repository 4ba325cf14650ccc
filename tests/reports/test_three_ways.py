"""Three ways to measure one run: the tables of made-up records show the numbers of the records."""

from __future__ import annotations

import math

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime.records.results import Results
from throughtime.reports import three_ways
from throughtime.reports.formats import csv, text

INPUT, PARAMETERS = 3000, 500


def measured(exact: float, allocator: float | None, process: float | None):
    """Return the measures of a run whose exact peak is `exact` over the level with input and parameters."""
    result = {
        "peak_live_bytes": measure(exact + INPUT + PARAMETERS, "byte"),
        "peak_live_bytes.input": measure(INPUT, "byte"),
        "peak_live_bytes.parameters": measure(PARAMETERS, "byte"),
    }
    for name, value in (("peak_allocator_bytes", allocator), ("peak_process_bytes", process)):
        result[name] = measure(value, "byte", None if value is not None else "a reason")
    return result


@pytest.fixture
def results(store):
    for T in (25, 800):
        for rule, numbers in (
            ("bptt", (1000.0 * T, 1000.0 * T + 8 * T, 1500.0 * T)),
            ("eprop", (2000.0, None, 9000.0)),
        ):
            put(store, run_spec(f"{rule} lif adding-{T}", suite="memory", steps=T), measures=measured(*numbers))
    put(store, run_spec("bptt lif digits"), measures=measured(1000.0, 990.0, None))
    return Results(store.folder)


def test_each_cell_at_its_longest_sequence_over_one_level(results):
    result = three_ways.three_ways(results)
    rows = {(row["suite"], row["rule"]): row for _, row in result.iterrows()}
    assert len(result) == 3
    row = rows["memory", "bptt"]
    assert (row["steps"], row["dataset"], row["exact"]) == (800, "adding", 800_000)
    assert (row["peak_allocator_bytes"], row["allocator_less_exact"]) == (806_400, 6_400)
    assert row["peak_allocator_bytes_over_exact"] == pytest.approx(1.008)
    assert row["peak_process_bytes_over_exact"] == pytest.approx(1.5)
    assert math.isnan(rows["memory", "eprop"]["peak_allocator_bytes_over_exact"])
    assert rows["quick", "bptt"]["allocator_less_exact"] == -10


def test_the_table_has_units_and_a_dash_for_what_is_missing(results):
    quick, memory = sorted(three_ways.tables(results), key=lambda table: table.name, reverse=True)
    assert (quick.name, memory.name) == ("quick-laptop-three-ways", "memory-laptop-three-ways")
    assert memory.head[3:7] == ["exact (B)", "allocator (B)", "process (B)", "allocator less exact (B)"]
    assert [[entry.text for entry in row] for row in memory.rows] == [
        ["adding, 800, 32", "lif", "bptt", "800,000", "806,400", "1,200,000", "6,400", "1.0080", "1.50"],
        ["adding, 800, 32", "lif", "eprop", "2,000", "—", "9,000", "—", "—", "4.50"],
    ]
    assert [entry.text for entry in quick.rows[0]][3:] == ["1,000", "990", "—", "-10", "0.990", "—"]
    assert "806,400" in text(memory) and len(csv(memory).splitlines()) == 3


def test_the_process_says_nothing_of_tensors_on_a_device(store):
    measures = measured(1000.0, 1024.0, 5000.0) | {"peak_cuda_allocated_bytes": measure(1024.0, "byte")}
    put(store, run_spec("bptt lif digits"), measures=measures)
    (row,) = [row for _, row in three_ways.three_ways(Results(store.folder)).iterrows()]
    assert row["peak_allocator_bytes"] == 1024 and math.isnan(row["peak_process_bytes"])


def test_runs_without_an_exact_count_have_no_table(store):
    assert three_ways.tables(Results(store.folder)) == []
    put(store, run_spec("bptt lif digits"), measures={"peak_process_bytes": measure(5.0, "byte")})
    assert three_ways.tables(Results(store.folder)) == []
