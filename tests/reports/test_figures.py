"""Figures: they show the numbers of their input, and each is written in every form."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from tests.synthetic_records import costs, measure, peaks, put, results, run_spec
from throughtime.algorithms.bptt import BPTT
from throughtime.neurons.lif import LIF
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.registry import algorithm, neuron
from throughtime.reports.drawing import SETTINGS, save
from throughtime.reports.figures import learning_curves, memory_against_steps
from throughtime.reports.styles import rule_styles
from throughtime.reports.tables import render
from throughtime.reports.tradeoff import tradeoff


def test_curves_hold_every_epoch_of_every_run(grid):
    data = learning_curves(grid, "quick", "laptop").data
    given = [
        (row["id"], point["epoch"], point["validation"])
        for _, row in grid.frame[grid.frame["suite"] == "quick"].iterrows()
        if (Path(row["folder"]) / "curve.jsonl").exists()
        for point in map(json.loads, (Path(row["folder"]) / "curve.jsonl").read_text().splitlines())
    ]
    assert sorted(data["validation"]) == pytest.approx(sorted(value for _, _, value in given))
    cell = data.query("rule == 'bptt' and neuron == 'lif' and dataset == 'digits' and epoch == 4")
    assert list(cell["validation"]) == pytest.approx([0.89, 0.90, 0.91])
    assert list(cell["mean"]) == pytest.approx([0.9] * 3)
    assert cell["low"].isna().all(), "fewer than five replicates have no interval"


def test_a_failed_replicate_is_in_the_figure_and_not_in_the_mean(grid):
    drawn = learning_curves(grid, "quick", "laptop")
    cell = drawn.data.query("rule == 'bptt' and neuron == 'ltc' and dataset == 'digits'")
    assert set(cell.loc[cell["status"] == "ok", "n"]) == {2}
    failed = cell[cell["status"] == "diverged"]
    assert list(failed["epoch"]) == [1, 2]
    assert failed["mean"].isna().all()
    assert any("eprop lstm digits (skipped)" in line for line in drawn.caption)


def test_one_replicate_has_no_band(store):
    put(store, run_spec("bptt lif digits"), measures=results("accuracy", 0.5, 0.1), curve=[0.2, 0.5])
    drawn = learning_curves(Results(store.folder), "quick", "laptop")
    assert drawn.data["low"].isna().all() and list(drawn.data["n"]) == [1, 1]
    assert any("No band" in line for line in drawn.caption)


def test_curves_of_failed_runs_alone_are_drawn_without_a_mean(store, tmp_path):
    put(store, run_spec("bptt lif digits"), "diverged", failure=Failure(reason="nan"), curve=[0.2, math.inf])
    drawn = learning_curves(Results(store.folder), "quick", "laptop")
    assert drawn.data["mean"].isna().all() and "n = 0 a line" in drawn.caption[0]
    save(drawn, tmp_path / "out", "failed")


def test_tradeoff_holds_the_means_and_costs_of_the_table(grid):
    data = tradeoff(grid, "quick", "laptop").data.set_index(["dataset", "neuron", "rule"])
    assert data.loc[("digits", "lif", "fptt"), "mean"] == pytest.approx(0.83)
    assert data.loc[("digits", "lif", "fptt"), "peak_process_bytes"] == 10 * 2**20
    assert math.isnan(data.loc[("digits", "lif", "tbptt"), "peak_process_bytes"])
    assert ("adding", "ltc", "bptt") not in data.index


def test_a_metric_of_another_name_is_drawn(store):
    measures = {**results("f1", 0.7, 0.1, "fraction"), **costs(0.1, 2.0**20)}
    put(store, run_spec("bptt lif digits"), measures=measures, metric="f1", curve=[0.2, 0.7])
    curves, cost = (draw(Results(store.folder), "quick", "laptop") for draw in (learning_curves, tradeoff))
    assert curves.figure.axes[0].get_ylabel() == "validation f1 (%)"
    assert cost.figure.axes[0].get_ylabel() == "f1 (%)" and list(cost.data["mean"]) == [0.7]
    assert any("Vertical: test split, weights of the final epoch" in line for line in cost.caption)


def test_memory_against_steps_takes_what_differs_in_steps_alone(grid):
    drawn = memory_against_steps(grid)
    assert set(drawn.data["suite"]) == {"memory"}
    bptt = drawn.data[drawn.data["rule"] == "bptt"]
    assert dict(zip(bptt["steps"], bptt["peak_process_bytes"], strict=True)) == {
        steps: 2.0**20 * (2 + steps) for steps in (50, 100, 200)
    }
    assert any("Slopes, in bytes a step, are in the table" in line for line in drawn.caption)
    assert len(drawn.figure.axes) == 1, "without exact bytes the process's peak is what is drawn"


def test_exact_memory_is_drawn_in_three_ways_with_the_process_peak_beside_the_one_that_it_measures(store):
    for rule, slope in (("bptt", 2**16), ("fptt", 0)):
        for T in (25, 100, 800):
            measures = peaks(2**20 + (slope + 512) * T, 2**20 + slope * T, 512 * T, 2**20)
            put(store, run_spec(f"{rule} ltc adding-{T}", suite="memory", steps=T), measures=measures)
    drawn = memory_against_steps(Results(store.folder))
    panels = drawn.figure.axes
    ways = ["input on the device", "input excluded", "input streamed"]
    assert [panel.get_title(loc="left") for panel in panels] == [f"ltc · {way}" for way in ways]
    assert [len(panel.lines) for panel in panels] == [2, 4, 2]
    assert len({panel.get_ylim() for panel in panels}) == len({panel.get_xlim() for panel in panels}) == 1
    fptt = panels[2].lines[1]
    assert list(fptt.get_xdata()) == [25, 100, 800] and list(fptt.get_ydata()) == [1, 1, 1]
    assert any("Dotted: the process's peak" in line for line in drawn.caption)


def test_a_process_that_did_not_grow_is_no_error_on_a_logarithmic_axis(store, tmp_path):
    for T in (25, 800):
        spec = run_spec(f"bptt lif adding-{T}", suite="memory", steps=T)
        put(store, spec, measures=peaks(2000.0 * T, 2000.0 * T, 100.0 * T, 0.0))
    drawn = memory_against_steps(Results(store.folder))
    save(drawn, tmp_path / "out", "memory")


def test_memory_at_two_lengths_of_different_networks_is_no_slope(store):
    for steps, hidden in ((50, 32), (100, 64)):
        spec = run_spec(f"bptt ltc adding-{steps}", steps=steps, hidden=hidden)
        put(store, spec, measures={"peak_process_bytes": measure(1e6, "byte")})
    assert memory_against_steps(Results(store.folder)) is None


def test_no_figure_where_there_is_nothing_to_draw(store):
    put(store, run_spec("bptt lif digits"), "oom", failure=Failure(reason="out of memory"))
    grid = Results(store.folder)
    assert learning_curves(grid, "quick", "laptop") is None
    assert tradeoff(grid, "quick", "laptop") is None
    assert memory_against_steps(grid) is None


def test_saved_in_three_formats_with_the_data_beside(grid, tmp_path):
    drawn = memory_against_steps(grid)
    paths = save(drawn, tmp_path / "new", "memory")
    starts = {".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}
    assert [path.suffix for path in paths] == [*starts, ".csv"]
    for path in paths[:3]:
        assert path.read_bytes().startswith(starts[path.suffix])
    pd.testing.assert_frame_equal(pd.read_csv(paths[3]), drawn.data, check_dtype=False)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {path.name for path in paths}


def test_the_same_records_give_the_same_bytes_with_the_fonts(grid, tmp_path, monkeypatch):
    monkeypatch.delitem(SETTINGS, "pdf.use14corefonts")
    files = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        drawn = memory_against_steps(grid)
        files.append([path.read_bytes() for path in save(drawn, folder, "memory")])
    assert files[0] == files[1] and b"FontFile2" in files[0][0]
    assert b"CreationDate" not in files[0][0] and b"dc:date" not in files[0][1]


def test_a_rule_keeps_its_colour_whoever_else_is_drawn():
    assert rule_styles(["fptt"])["fptt"] == rule_styles(["bptt", "own", "fptt", "eprop"])["fptt"]
    many = rule_styles([f"rule {i}" for i in range(20)])
    assert len(set(many.values())) == len(many) == 41


def test_a_plugin_has_its_title_and_colour_in_figures_and_tables(store, isolated_registries):
    @algorithm("mine", order=0, title="My own rule", colour="tab:red")
    class Mine(BPTT):
        """A rule."""

    @neuron("cell", title="Our cell")
    class Cell(LIF):
        """A neuron."""

    for rule in ("mine", "bptt", "a_rule"):
        put(store, run_spec(f"{rule} cell digits"), measures={**results("accuracy", 0.5, 0.1), **costs(0.1, 2.0**20)})
    result = Results(store.folder)
    drawn = tradeoff(result, "quick", "laptop")
    legends = [[text.get_text().strip() for text in legend.get_texts()] for legend in drawn.figure.legends]
    assert legends == [["bptt", "My own rule", "a_rule"], ["Our cell"]]
    assert rule_styles(["mine"])["mine"].colour == to_rgb("tab:red")
    printed, data = render(result), render(result, form="csv")
    assert printed.index("bptt") < printed.index("My own rule") < printed.index("a_rule") and "Our cell" in printed
    assert "mine" in data and "My own rule" not in data, "data has the labels of the suite"


def test_labels_that_look_like_markup_are_drawn_as_they_are(store, tmp_path):
    for rule in ("_own_$", "a$b$\\frac{"):
        spec = run_spec((rule, "$_{x}$", "<digits> & %"))
        put(store, spec, measures={**results("accuracy", 0.5, 0.1), **costs(0.1, 2.0**20)}, curve=[0.2, 0.5])
    for draw in (learning_curves, tradeoff):
        drawn = draw(Results(store.folder), "quick", "laptop")
        save(drawn, tmp_path / "out", draw.__name__)
        assert [t.get_text().strip() for legend in drawn.figure.legends[:1] for t in legend.get_texts()] == [
            "_own_$",
            "a$b$\\frac{",
        ]
