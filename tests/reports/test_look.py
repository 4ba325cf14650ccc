"""Settings of the caller for figures: names, a measure, width, colours and an axis."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import throughtime as tt
from throughtime.commands.main import main
from throughtime.errors import UsageError


@pytest.fixture(scope="module")
def cell(grid):
    """One dataset and neuron, four rules."""
    return grid.select("quick").matching(dataset=["digits"], neuron=["ltc"])


def colours(axes) -> dict[str, str]:
    return {text.get_text(): to_hex(line.get_color()) for text, line in _entries(axes)}


def _entries(axes):
    legend = axes.get_legend()
    return zip(legend.get_texts(), legend.legend_handles, strict=True)


def test_only_the_named_figures_are_drawn(grid):
    assert list(tt.figure(grid, only="quick-*-curves")) == ["quick-laptop-curves"]
    assert list(tt.figure(grid, only=["memory-against-*", "*-tradeoff"])) == [
        "quick-laptop-tradeoff",
        "memory-against-steps",
    ]
    with pytest.raises(UsageError, match='no figure "quick-laptop-curve"'):
        tt.figure(grid, only="quick-laptop-curve")
    with pytest.raises(UsageError, match='the results have no data for the figure "quick-laptop-growth"'):
        tt.figure(grid, only="quick-laptop-growth")
    with pytest.raises(UsageError, match='no figure "nope-curves"'):
        tt.figure(grid, only=["*-tradeoff", "nope-curves"])


def test_a_measure_has_a_row_for_each_rule_in_each_panel(cell):
    (drawn,) = tt.figure(cell, measure="wall_time").values()
    (panel,) = drawn.figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["bptt", "tbptt", "fptt", "eprop"]
    points = [line.get_xdata()[0] for line in panel.lines if line.get_markersize() == 6]
    assert points == pytest.approx([4, 2, 4 / 3, 1]), "milliseconds"
    assert drawn.data["mean"].tolist() == pytest.approx([0.004, 0.002, 0.004 / 3, 0.001])
    assert tt.figure(cell, measure="metric_best_validation")
    with pytest.raises(UsageError, match='no measure "wal_time"'):
        tt.figure(cell, measure="wal_time")


def test_labels_of_narrow_panels_do_not_overlap(grid):
    (drawn,) = tt.figure(grid.select("quick"), measure="wall_time", width=5).values()
    drawn.figure.draw_without_rendering()
    labels = [panel.xaxis.label.get_window_extent() for panel in drawn.figure.axes]
    assert len(labels) > 2 and not any(a.overlaps(b) for a, b in itertools.combinations(labels, 2))


def test_width_and_colours_are_those_of_the_caller(grid, cell):
    (drawn,) = tt.figure(cell, only="*-curves", width=5.5, colours={"fptt": "#123456"}).values()
    assert drawn.figure.get_size_inches()[0] == 5.5
    (legend,) = drawn.figure.legends
    handles = zip(legend.get_texts(), legend.legend_handles, strict=True)
    assert {text.get_text(): to_hex(line.get_color()) for text, line in handles}["fptt"] == "#123456"
    (plain,) = tt.figure(cell, only="*-curves").values()
    assert plain.figure.get_size_inches()[0] == 6.4, "the look of a call ends with it"
    with pytest.raises(UsageError, match=r'no rule "ftpp" in the results\n.*fptt'):
        tt.figure(grid, colours={"ftpp": "red"})
    with pytest.raises(UsageError, match='"redd" is not a colour'):
        tt.figure(grid, colours={"fptt": "redd"})


def test_an_axis_of_the_caller_holds_the_curves_or_a_measure(cell):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    (drawn,) = tt.figure(cell, axis=left).values()
    assert drawn.figure is figure and left.get_ylabel() == "validation accuracy (%)"
    assert list(colours(left)) == ["bptt", "tbptt", "fptt", "eprop"]
    tt.figure(cell, measure="metric", axis=right, colours={"bptt": "#abcdef"})
    assert right.get_xlabel() == "accuracy (%), linear scale" and "#abcdef" in {
        to_hex(line.get_color()) for line in right.lines
    }
    assert figure.legends == [] and figure.texts == []


def test_an_axis_holds_no_more_than_one_panel(grid, cell):
    axis = Figure().subplots()
    with pytest.raises(UsageError, match="the figure has 6 panels, and the axis holds one"):
        tt.figure(grid.select("quick"), axis=axis)
    with pytest.raises(UsageError, match="an axis holds one figure"):
        tt.figure(cell, only="memory-*", axis=axis)


def test_the_command_takes_the_same(grid, tmp_path, capsys):
    where = ["--results", str(grid.folder), "--out", str(tmp_path)]
    options = ["--measure", "wall_time", "--only", "quick-*", "--width", "4", "--colours", "fptt=#123456"]
    assert main(["figure", "quick", *where, *options]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"quick-laptop-wall_time.{end}" for end in ("pdf", "svg", "png", "csv")
    }
    assert "#123456" in (tmp_path / "quick-laptop-wall_time.svg").read_text()
    capsys.readouterr()
    assert main(["figure", "quick", *where, "--colours", "fptt"]) == 2
    assert "a colour is NAME=COLOUR" in capsys.readouterr().err
