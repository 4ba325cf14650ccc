"""The figure of growth: its points are those of the records, its lines the power laws behind them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_records import SKIPPED, costs, peaks, powers, put, run_spec, sweep
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.reports.growth_figure import LABEL, growth_figures
from throughtime.reports.page.interactive import described
from throughtime.reports.page.report import write_figures


def test_a_row_a_cost_and_a_column_a_size_all_logarithmic_with_units(store):
    drawn = growth_figures(sweep(store), "scaling", "laptop")["lif"]
    panels = drawn.figure.axes
    assert len(panels) == 2 * 4 and {panel.get_xscale() for panel in panels} == {"log"}
    assert {panel.get_yscale() for panel in panels} == {"log"}
    assert [panel.get_ylabel() for panel in panels[::4]] == ["wall time (ms a sequence)", "peak of live tensors (MiB)"]
    names = ["T, time steps", "B, sequences a batch", "H, neurons a layer", "L, layers"]
    assert [panel.get_xlabel() for panel in panels] == ["", "", "", "", *names]
    assert [[text.get_text() for text in panel.get_xticklabels()] for panel in panels[4:]] == [
        ["50", "100", "200"],
        ["8", "32", "128"],
        ["16", "64", "256"],
        ["1", "2", "4"],
    ]
    assert drawn.title == "Growth of wall time and peak of live tensors: lif"
    assert any("T at B 32, H 64, L 1; B at T 50, H 64, L 1; H at T 50, B 32, L 1" in line for line in drawn.caption)
    assert any(line.startswith("Peak of live tensors: input on the device") for line in drawn.caption)


def test_each_line_is_the_power_and_has_its_exponent_beside_it(store):
    panels = growth_figures(sweep(store), "scaling", "laptop")["lif"].figure.axes
    shown = [[text.get_text() for text in panel.texts] for panel in panels]
    assert shown == [["1.00"], ["-0.50"], ["2.00"], ["1.00"], ["0.00"], ["1.00"], ["1.50"], ["0.50"]]
    in_h = panels[2]
    given = [(H, 1e3 * 1e-6 * 50 * 32**-0.5 * H**2) for H in (16, 64, 256)]  # ms a sequence
    assert np.array(sorted(in_h.collections[0].get_offsets().tolist())) == pytest.approx(np.array(given))
    assert in_h.lines[0].get_xydata() == pytest.approx(np.array([given[0], given[-1]]))


def test_the_line_is_that_of_least_squares_where_no_power_fits(store):
    """T 50, 100, 200 cost 1, 2, 1: no slope, at the mean of the logarithms."""
    seconds = {50: 1.0, 100: 2.0, 200: 1.0}
    for T, value in seconds.items():
        put(store, run_spec(f"bptt lif adding-{T}", suite="scaling", steps=T), measures=costs(value, None))
    (panel,) = growth_figures(Results(store.folder), "scaling", "laptop")["lif"].figure.axes
    assert panel.lines[0].get_ydata() == pytest.approx([1e3 * 2 ** (1 / 3)] * 2)
    assert [text.get_text() for text in panel.texts] == ["0.00"]


def test_exponents_of_rules_that_cost_the_same_do_not_lie_on_one_another(store):
    for rule in ("bptt", "tbptt", "fptt"):
        sweep(store, cell=f"{rule} lif")
    for panel in growth_figures(Results(store.folder), "scaling", "laptop")["lif"].figure.axes:
        places = sorted(text.get_position()[1] for text in panel.texts)
        assert np.diff(places) == pytest.approx([LABEL, LABEL])
        assert len({text.get_color() for text in panel.texts}) == 3


def test_a_figure_a_neuron_and_its_numbers_beside_it(store, tmp_path):
    for neuron in ("lif", "ltc"):
        sweep(store, cell=f"bptt {neuron}")
    written = write_figures(Results(store.folder), tmp_path / "out")
    shown = {name for name in written if "-growth-" in name}
    assert shown == {"scaling-laptop-growth-lif", "scaling-laptop-growth-ltc"}
    for name in shown:
        assert {path.suffix for path in (tmp_path / "out").glob(f"{name}.*")} == {".pdf", ".svg", ".png", ".csv"}
    data = growth_figures(Results(store.folder), "scaling", "laptop")["ltc"].data
    assert len(data) == 2 * 4 * 3 and set(data["neuron"]) == {"ltc"}
    layers = data.query("size == 'L' and measure == 'peak_live_bytes'")
    assert list(layers["number"]) == [1, 2, 4] and list(layers["value"]) == pytest.approx([2**14, 2**14.5, 2**15])


def test_what_was_timed_on_a_busy_machine_is_hollow_and_bytes_are_not(store):
    drawn = growth_figures(sweep(store, contended=True), "scaling", "laptop")["lif"]
    faces = [panel.collections[0].get_facecolor()[0].tolist() for panel in drawn.figure.axes]
    assert [face == [1, 1, 1, 1] for face in faces] == [True] * 4 + [False] * 4
    assert any("Hollow: timed on a busy machine" in line for line in drawn.caption)
    panels = described(drawn.figure)["panels"]
    assert [(panel["row"], panel["column"]) for panel in panels] == [
        (row, column) for row in (0, 1) for column in range(4)
    ]
    line, points = panels[0]["traces"]
    assert points["symbol"] == "circle-open" and panels[4]["traces"][1]["symbol"] == "circle"
    assert points["colour"] == line["colour"] and points["name"] == line["name"] == "bptt"
    assert panels[0]["x"]["ticks"] == [[50, 100, 200], ["50", "100", "200"]]


def test_a_size_at_which_a_cost_was_not_measured_says_so(store):
    def no_times_of_several_layers(T, B, H, L):
        return {name: value for name, value in powers(T, B, H, L).items() if name != "wall_time" or L == 1}

    panels = growth_figures(sweep(store, no_times_of_several_layers), "scaling", "laptop")["lif"].figure.axes
    assert [[text.get_text() for text in panel.texts] for panel in panels[3::4]] == [["not measured"], ["0.50"]]


def test_cells_that_left_no_cost_are_named(store):
    put(store, run_spec("eprop lif adding", suite="scaling"), "skipped", failure=Failure(reason=SKIPPED))
    drawn = growth_figures(sweep(store), "scaling", "laptop")["lif"]
    assert drawn.caption[-1] == "Not in the figure: eprop lif adding (skipped)."


def test_a_suite_that_varies_no_size_has_no_figure(grid, store):
    assert growth_figures(grid, "quick", "laptop") == {}
    put(store, run_spec("bptt lif adding", suite="scaling"), "oom", failure=Failure(reason="out of memory"))
    assert growth_figures(Results(store.folder), "scaling", "laptop") == {}


def test_bytes_against_steps_alone_are_left_to_the_figure_of_memory_against_steps(store):
    for T in (50, 100):
        put(store, run_spec(f"bptt lif adding-{T}", suite="memory", steps=T), measures=peaks(1e6 * T, 1e6 * T, 0))
    assert growth_figures(Results(store.folder), "memory", "laptop") == {}
