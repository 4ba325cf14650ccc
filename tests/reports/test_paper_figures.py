"""Figures for a paper: sizes, captions, shades, Pareto fronts, ranges, and figures against an option."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from tests.synthetic_records import costs, measure, put, results, run_spec
from throughtime.records.results import Results
from throughtime.reports.drawing import save
from throughtime.reports.figures import learning_curves, memory_against_steps
from throughtime.reports.look import Look, figure_look
from throughtime.reports.option_figure import option_figures
from throughtime.reports.styles import rule_styles
from throughtime.reports.tradeoff import pareto_front, tradeoff


def test_a_figure_for_a_paper_has_its_width_its_letters_and_its_caption_as_text(grid, tmp_path):
    with figure_look(Look("paper")):
        for draw, width in (
            (lambda: tradeoff(grid, "quick", "laptop"), 6.9),
            (lambda: memory_against_steps(grid), 3.3),
        ):
            drawn = draw()
            paths = {path.suffix: path for path in save(drawn, tmp_path, "figure")}
            assert drawn.figure.get_size_inches()[0] == pytest.approx(width)
            assert imread(paths[".png"]).shape[1] == round(300 * width)
            sizes = {text.get_fontsize() for axes in drawn.figure.axes for text in axes.get_xticklabels()}
            assert sizes == {8.0} and drawn.figure.axes[0].xaxis.label.get_fontsize() == 8
            assert drawn.figure.texts == [], "title and notes are in the text file"
            assert paths[".txt"].read_text().splitlines() == [f"{drawn.title}.", *drawn.caption]
    on_screen = memory_against_steps(grid)
    assert on_screen.title in [text.get_text() for text in on_screen.figure.texts]
    assert ".txt" not in {path.suffix for path in save(on_screen, tmp_path / "screen", "figure")}


def lightness(colour) -> float:
    return sum(colour)


def test_variants_of_a_rule_are_shades_of_its_colour_in_natural_order():
    styles = rule_styles(["tbptt-K16", "tbptt-K2", "bptt", "tbptt-K4", "eprop"])
    plain = rule_styles(["tbptt"])["tbptt"].colour
    shades = [lightness(styles[f"tbptt-K{k}"].colour) for k in (2, 4, 16)]
    assert shades == sorted(shades, reverse=True) and len(set(shades)) == 3
    for k in (2, 4, 16):  # mixed with white or black, a colour keeps the order of its parts
        assert np.argsort(styles[f"tbptt-K{k}"].colour).tolist() == np.argsort(plain).tolist()
    both = rule_styles(["tbptt", "tbptt-step"])
    assert both["tbptt"].colour == plain != both["tbptt-step"].colour
    assert rule_styles(["tbptt-step"])["tbptt-step"].colour == plain


def test_the_pareto_front_holds_the_cells_that_no_other_beats():
    points = {"a": (1, 0.5), "b": (2, 0.4), "c": (2, 0.7), "d": (3, 0.7), "e": (4, 0.9), "f": (math.nan, 1.0)}
    cells = pd.DataFrame(points, index=["cost", "mean"]).T.assign(better="higher")
    assert pareto_front(cells, "cost").tolist() == ["a", "c", "e"]
    assert pareto_front(cells.assign(better="lower"), "cost").tolist() == ["a", "b"]
    assert pareto_front(cells.assign(better=""), "cost").empty


def test_both_costs_say_their_scale_and_wall_time_has_its_spread(store):
    for rule, seconds in (("bptt", 0.1), ("eprop", 0.9)):
        put(
            store, run_spec(f"{rule} lif digits"), measures={**results("accuracy", 0.5, 0.1), **costs(seconds, 2.0**20)}
        )
    drawn = tradeoff(Results(store.folder), "quick", "laptop")
    assert [panel.get_xlabel() for panel in drawn.figure.axes] == [
        "peak memory (MiB), linear scale",
        "wall time (ms a sequence), log scale",
    ]
    # samples (s, 1.1 s): quartiles 1.025 s and 1.075 s
    ends = drawn.data.set_index("rule").loc["bptt", ["wall_time.low", "wall_time.high"]]
    assert ends.tolist() == pytest.approx([0.1025, 0.1075])


def test_equal_replicates_whose_mean_is_rounded_are_drawn(store):
    assert math.fsum([0.667] * 3) / 3 != 0.667
    for replicate in range(3):
        measures = results("accuracy", 0.667, 0.1) | costs(0.1, 2.0**20)
        put(store, run_spec("bptt lif digits", replicate), measures=measures)
    assert tradeoff(Results(store.folder), "quick", "laptop").data["mean"].tolist() == pytest.approx([0.667])


def test_few_replicates_are_thin_lines_and_an_epoch_without_a_value_interrupts_a_line(store):
    for replicate, curve in enumerate(([0.2, math.nan, 0.6], [0.3, math.nan, 0.7])):
        put(store, run_spec("bptt lif digits", replicate), measures=results("accuracy", 0.5, 0.1), curve=curve)
    (panel,) = learning_curves(Results(store.folder), "quick", "laptop").figure.axes
    mean, *single = panel.lines[:3]
    assert list(mean.get_xdata()) == [1, 2, 3]
    assert np.allclose(mean.get_ydata(), [25, np.nan, 65], equal_nan=True)
    assert [line.get_ydata()[0] for line in single] == [20, 30] and single[0].get_linewidth() < mean.get_linewidth()


def test_epoch_0_does_not_stretch_the_axis(store):
    folder = put(
        store, run_spec("bptt lif adding"), measures=results("mse", 0.1, 0.167), metric="mse", curve=[0.2, 0.1]
    )
    text = (folder / "curve.jsonl").read_text()
    (folder / "curve.jsonl").write_text('{"epoch": 0, "iteration": 0, "validation": 40.0, "train_loss": null}\n' + text)
    drawn = learning_curves(Results(store.folder), "quick", "laptop")
    low, high = drawn.figure.axes[0].get_ylim()
    assert 0 < low < 0.1 and 0.2 < high < 0.25 and 40.0 in set(drawn.data["validation"])


def with_option(rule: str, option: object, replicate: int = 0):
    spec = run_spec((rule, "lif", "digits"), replicate)
    named = spec.rule.model_copy(update={"name": "tbptt", "options": {"window": option, "detach": True}})
    return spec.model_copy(update={"rule": named})


def test_a_numeric_option_with_three_values_has_a_figure(store):
    for K, value in ((16, 0.9), (1, 0.5), (4, 0.8)):
        for replicate in range(2):
            measures = results("accuracy", value + 0.02 * replicate, 0.1) | {
                "peak_live_bytes": measure(K * 2.0**20, "byte")
            }
            put(store, with_option(f"tbptt-K{K}", K, replicate), measures=measures)
    put(store, run_spec("bptt lif digits"), measures=results("accuracy", 0.9, 0.1))
    result = option_figures(Results(store.folder), "quick", "laptop")
    assert list(result) == ["tbptt-window"]
    drawn = result["tbptt-window"]
    metric, memory = drawn.figure.axes
    assert list(metric.lines[0].get_xdata()) == [1, 4, 16]
    assert list(metric.lines[0].get_ydata()) == pytest.approx([51, 81, 91])
    assert list(memory.lines[0].get_ydata()) == pytest.approx([1, 4, 16])
    assert metric.get_xlabel() == "window, log scale" and drawn.title == "tbptt against its option window"


@pytest.mark.parametrize("status", ["diverged", "skipped"])
def test_variants_without_a_result_have_no_figure(store, status):
    for K in (1, 4, 16):
        put(store, with_option(f"tbptt-K{K}", K), status)
    assert option_figures(Results(store.folder), "quick", "laptop") == {}


@pytest.mark.parametrize("values", [(1, 4), (True, False, 3), ("a", "b", "c")])
def test_two_values_or_no_numbers_have_none(store, values):
    for i, value in enumerate(values):
        put(store, with_option(f"tbptt-{i}", value), measures=results("accuracy", 0.5, 0.1))
    assert option_figures(Results(store.folder), "quick", "laptop") == {}
