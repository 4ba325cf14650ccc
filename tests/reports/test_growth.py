"""Slopes and exponents: estimates from made-up records of known growth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.synthetic_records import costs, measure, peaks, put, run_spec, sweep
from throughtime.records.results import Results
from throughtime.reports import growth
from throughtime.reports.formats import csv, markdown, text

INPUT = 256


@pytest.fixture
def lengths(store):
    """bptt: 1000 bytes a step and its input; eprop: only the input in memory grows; the process's peak is off by 10."""
    for rule, slope in (("bptt", 1000), ("eprop", 0)):
        for T in (25, 50, 100):
            measures = peaks(5000 + (slope + INPUT) * T, 5000 + slope * T, INPUT * T, 9000 + (slope + 10) * T)
            put(store, run_spec(f"{rule} lif adding-{T}", suite="memory", steps=T), measures=measures)
    return Results(store.folder)


def test_exactly_linear_growth_has_one_slope_and_none_is_zero(lengths):
    result = growth.slopes(lengths).set_index(["rule", "measure"])
    for rule, slope in (("bptt", 1000), ("eprop", 0)):
        for name, expected in (
            ("peak_live_bytes", slope + INPUT),
            ("peak_live_bytes_without_input", slope),
            ("peak_live_bytes_streamed", slope),
            ("peak_process_bytes", slope + 10),
        ):
            row = result.loc[(rule, name)]
            assert (row["slope"], row["low"], row["high"]) == (expected, expected, expected)
            assert (row["lengths"], row["first"], row["last"]) == (3, 25, 100)


def test_growth_that_is_not_linear_shows_its_range(store):
    for T, value in ((10, 1000), (20, 1000), (30, 1300)):
        spec = run_spec(f"bptt lif adding-{T}", suite="memory", steps=T)
        put(store, spec, measures={"peak_process_bytes": measure(value, "byte")})
    row = growth.slopes(Results(store.folder)).iloc[0]
    assert (row["slope"], row["low"], row["high"]) == (15, 0, 30)
    (table,) = growth.tables(Results(store.folder))
    assert [entry.text for entry in table.rows[0]][-5:] == ["—", "—", "—", "15 (0 to 30)", "—"]


def test_a_slope_goes_through_the_mean_of_each_length(store):
    """The points are (10, 200), (20, 400) and (40, 600): Σ (t − t̄)(y − ȳ) = 6000, Σ (t − t̄)² = 1400/3."""
    for T, values in ((10, (100, 300)), (20, (400,)), (40, (500, 600, 700))):
        for replicate, value in enumerate(values):
            spec = run_spec(f"bptt lif adding-{T}", replicate, suite="memory", steps=T)
            put(store, spec, measures={"peak_live_bytes": measure(value, "byte")})
    row = growth.slopes(Results(store.folder)).iloc[0]
    assert row["slope"] == pytest.approx(90 / 7)
    assert (row["low"], row["high"], row["lengths"], row["first"], row["last"]) == (10, 20, 3, 10, 40)


def test_the_table_of_slopes_gives_the_three_ways_and_the_error_of_the_process_peak(lengths):
    (table,) = growth.tables(lengths)
    assert table.name == "memory-laptop-slopes"
    shown = [[entry.text for entry in row] for row in table.rows]
    assert shown == [
        ["adding, 32", "lif", "bptt", "25–100 (3)", "1,256", "1,000", "1,000", "1,010", "+10 (+1.0 %)"],
        ["adding, 32", "lif", "eprop", "25–100 (3)", "256", "0", "0", "10", "+10"],
    ]
    assert "1,256" in text(table) and "1,256" in markdown(table) and len(csv(table).splitlines()) == 1 + 2 * 4


def test_cells_that_differ_in_more_than_the_length_have_no_slope(store):
    for T, batch in ((50, 16), (100, 32)):
        spec = run_spec(f"bptt lif adding-{T}", suite="memory", steps=T, batch=batch)
        put(store, spec, measures=peaks(1e6, 1e6, 0))
    assert growth.slopes(Results(store.folder)).empty and growth.tables(Results(store.folder)) == []


def test_exponents_of_exact_powers_are_found_without_error(store):
    result = growth.exponents(sweep(store)).set_index(["measure", "size"])
    for name, size, exponent in (
        *(("wall_time", "T", 1), ("wall_time", "B", -0.5), ("wall_time", "H", 2), ("wall_time", "L", 1)),
        *(("peak_live_bytes", "T", 0), ("peak_live_bytes", "B", 1)),
        *(("peak_live_bytes", "H", 1.5), ("peak_live_bytes", "L", 0.5)),
    ):
        row = result.loc[(name, size)]
        assert row["exponent"] == pytest.approx(exponent, abs=1e-9) and row["error"] == pytest.approx(0, abs=1e-6)
        assert row["n"] == 3
    assert list(result.loc[("wall_time", "B"), ["sizes", "at"]]) == ["8, 32, 128", "T 50, H 64, L 1"]
    assert list(result.loc[("wall_time", "L"), ["sizes", "at"]]) == ["1, 2, 4", "T 50, B 32, H 64"]


def test_layers_that_differ_in_size_count_for_no_exponent_in_their_size_or_number(store):
    for T, hidden in ((50, [64]), (50, [64, 32]), (50, [64, 32, 64]), (100, [64, 32])):
        spec = run_spec(f"bptt lif adding-{T}", suite="scaling", steps=T)
        options = {"hidden": hidden}
        network = spec.network.model_copy(update={"options": options, "label": "-".join(map(str, hidden))})
        put(store, spec.model_copy(update={"network": network}), measures=costs(T / 1000, None))
    result = growth.exponents(Results(store.folder))
    assert result[["size", "sizes", "at"]].values.tolist() == [["T", "50, 100", "B 32"]]


def test_a_network_of_one_layer_may_have_its_size_as_a_number(store):
    for hidden in (32, 64):
        spec = run_spec("bptt lif adding-50", suite="scaling", steps=50)
        network = spec.network.model_copy(update={"options": {"hidden": hidden}, "label": str(hidden)})
        put(store, spec.model_copy(update={"network": network}), measures=costs(hidden / 1000, None))
    result = growth.exponents(Results(store.folder))
    assert result[["size", "sizes", "at"]].values.tolist() == [["H", "32, 64", "T 50, B 32, L 1"]]


def test_the_error_is_that_of_the_slope(store):
    values = {50: 1.0, 100: 2.5, 200: 3.5}
    result = growth.exponents(sweep(store, lambda T, B, H, L: {"wall_time": measure(values[T], "second a sequence")}))
    row = result[result["size"] == "T"].iloc[0]
    (slope, _), covariance = np.polyfit(np.log([50, 100, 200]), np.log([1.0, 2.5, 3.5]), 1, cov="unscaled")
    residuals = np.log([1.0, 2.5, 3.5]) - np.polyval(
        np.polyfit(np.log([50, 100, 200]), np.log([1, 2.5, 3.5]), 1), np.log([50, 100, 200])
    )
    assert row["exponent"] == pytest.approx(slope)
    assert row["error"] == pytest.approx(math.sqrt(covariance[0, 0] * (residuals**2).sum()))


def test_two_sizes_have_an_exponent_and_no_error(store):
    for T in (50, 100):
        put(store, run_spec(f"bptt lif adding-{T}", suite="scaling", steps=T), measures=costs(T / 1000, None))
    row = growth.exponents(Results(store.folder)).iloc[0]
    assert row["exponent"] == pytest.approx(1) and math.isnan(row["error"])
    (table,) = growth.tables(Results(store.folder))
    assert [entry.text for entry in table.rows[0]] == ["adding", "lif", "bptt", "wall time", "1.00", "—", "—", "—"]


def test_the_table_of_exponents_has_a_row_a_measure_and_says_at_which_sizes(store):
    made = {table.name: table for table in growth.tables(sweep(store))}
    table = made["scaling-laptop-exponents"]
    assert table.head[-4:] == ["T", "B", "H", "L"]
    assert [[entry.text for entry in row][3:] for row in table.rows] == [
        ["wall time", "1.00 ± 0.00", "-0.50 ± 0.00", "2.00 ± 0.00", "1.00 ± 0.00"],
        ["peak of live tensors", "0.00 ± 0.00", "1.00 ± 0.00", "1.50 ± 0.00", "0.50 ± 0.00"],
    ]
    assert [note for _, note in table.notes] == [
        "T 50, 100, 200 at B 32, H 64, L 1",
        "B 8, 32, 128 at T 50, H 64, L 1",
        "H 16, 64, 256 at T 50, B 32, L 1",
        "L 1, 2, 4 at T 50, B 32, H 64",
    ]


def test_times_from_a_busy_machine_are_told_of(store):
    for T in (50, 100):
        spec = run_spec(f"bptt lif adding-{T}", suite="scaling", steps=T)
        put(store, spec, measures=costs(T / 1000, None), contended=T == 50)
    assert "busy" in growth.tables(Results(store.folder))[0].notes[0][1]


def test_nothing_measured_gives_no_table(store):
    assert growth.tables(Results(store.folder)) == []
    put(store, run_spec("bptt lif digits"), measures={})
    assert growth.tables(Results(store.folder)) == []
