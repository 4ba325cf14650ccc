"""The figure in which each rule is one mark: result against alignment with BPTT."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.alignment_points import PARAMETERS
from throughtime.reports.alignment_ranks import PAIR, alignment_ranks, correlations, warning
from throughtime.reports.cells import TASK, groups, neuron_label, rule_family, rule_title, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, scaled, styled
from throughtime.reports.figures import cells_left_out, count_range, heading
from throughtime.reports.quantities import INTERVAL, INTERVAL_FROM, quantity
from throughtime.reports.styles import Style, rule_styles
from throughtime.reports.summaries import final_protocol
from throughtime.reports.tuning import star_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST_RULES = 3
"""Smallest number of rules in a panel: of fewer, the table says as much."""
LABEL, LABEL_LINE = 6.5, 0.115
"""Size of a label in points, and height of its line in inches."""


class Mark(NamedTuple):
    """The look of a mark."""

    label: str
    """The rule's title, with a star if its tuning chose a value at the edge of its grid."""
    size: float
    """Diameter in points."""
    bold: bool


@styled
def result_against_alignment(results: Results, suite: str, scale: str) -> Drawn | None:
    """Draw the result against the cosine of the rule's gradient with BPTT's over training: each rule is one mark.

    Args:
        results: all runs, so that a rule has the same colour in every figure.
        suite: one suite.
        scale: one of its scales.

    Returns:
        The figure, or None if no panel has three rules with a result and a cosine.
    """
    ranks, runs = alignment_ranks(results, suite, scale), runs_of(results, suite, scale)
    data = _with_enough_rules(ranks) if len(ranks) else ranks
    if data.empty:
        return None
    ordered = correlations(data)
    titles = {
        tuple(row[TASK]): f", ρ = {row['spearman']:.2f} (n = {row['rules']})"
        for _, row in ordered[ordered["spearman"].notna()].iterrows()
    }
    figure = _figure(data, rule_styles(results.frame["rule"]), titles)
    notes = [
        heading(suite, scale, f"{count_range(data['n'])} a mark"),
        f"Vertical: {final_protocol(runs['mean_of_last'])}; {_bars(data)} "
        "Horizontal: mean over the measured epochs and the "
        f"replicates that ended ok; parameters: {PARAMETERS} where the readout is a group of its own. "
        "ρ: Spearman's rank correlation over n rules.",
        *warning(data),
        *star_sentence(runs),
        *cells_left_out(runs, data),
    ]
    title = "Result against alignment with BPTT"
    finish(figure, title, notes, {})  # each mark has its name, and needs no legend
    return Drawn(figure, data, title, notes)


def _with_enough_rules(data: pd.DataFrame) -> pd.DataFrame:
    return data[data.groupby(TASK)["rule"].transform("nunique") >= FEWEST_RULES].reset_index(drop=True)


def _bars(data: pd.DataFrame) -> str:
    few = f", of fewer than {INTERVAL_FROM} replicates from the smallest to the largest"
    return f"bars: {INTERVAL}{few if data['n'].min() < INTERVAL_FROM else ''}."


def _mark(cell: pd.Series) -> Mark:
    named = rule_family(cell["rule"]) in PAIR
    return Mark(rule_title(cell["rule"]) + ("*" if cell["edge"] else ""), 8 if named else 5, named)


def _figure(data: pd.DataFrame, styles: dict[str, Style], titles: dict[tuple[str, ...], str]) -> Figure:
    """Draw a panel for each dataset and neuron, a column for each neuron: x is the cosine, y the result."""
    cells = groups(data, TASK)
    columns = min(2, len(data[["network", "neuron"]].drop_duplicates()))
    figure, panels = grid(len(cells), columns)
    most = int(data.groupby(TASK)["rule"].nunique().max())
    rows = math.ceil(len(cells) / columns)
    figure.set_size_inches(figure.get_size_inches()[0] * 1.4, rows * max(2.3, 0.75 + LABEL_LINE * most))
    for panel, (key, panel_cells) in zip(panels, cells, strict=True):
        dataset, network, neuron = key
        shown = quantity(*panel_cells[["measure", "unit"]].iloc[0])
        panel.set_title(f"{dataset} · {neuron_label(neuron, network)}{titles.get(key, '')}")
        panel.set_ylabel(shown.label)
        looks = [_mark(cell) for _, cell in panel_cells.iterrows()]
        for (_, cell), look in zip(panel_cells.iterrows(), looks, strict=True):
            low, high = (
                (cell["low"], cell["high"]) if pd.notna(cell["low"]) else (min(cell["values"]), max(cell["values"]))
            )
            y, colour = cell["mean"] * shown.factor, styles[cell["rule"]].colour
            panel.plot([cell["cosine"]] * 2, [low * shown.factor, high * shown.factor], color=colour, lw=0.8, alpha=0.7)
            edge = "black" if look.bold else "white"
            panel.plot(cell["cosine"], y, "o", ms=look.size, color=colour, mec=edge, mew=0.6, alpha=0.8)
        panel.margins(x=0.08, y=0.08)
        if shown.recorded != "fraction":
            scale_axis(panel.yaxis, panel_cells["mean"] * shown.factor, ratio=20)
        panel.set_xlabel(scaled("cosine to BPTT, mean over training", panel.xaxis))
        _label(
            panel,
            panel_cells["cosine"],
            panel_cells["mean"] * shown.factor,
            looks,
            [styles[rule].colour for rule in panel_cells["rule"]],
        )
    return figure


def _label(panel: Axes, x: pd.Series, y: pd.Series, looks: Sequence[Mark], colours: Sequence[object]) -> None:
    """Write the labels of marks in a column right of the panel, in the order of their heights, each with a line to its
    mark."""
    panel.set(xlim=panel.get_xlim(), ylim=panel.get_ylim())
    to_panel = panel.transData + panel.transAxes.inverted()
    heights = [float(to_panel.transform(point)[1]) for point in zip(x, y, strict=True)]
    places = spread(heights, gap=1 / max(len(heights), 12))
    for tip, place, look, colour in zip(zip(x, y, strict=True), places, looks, colours, strict=True):
        panel.text(
            *(1.05, place, look.label),
            transform=panel.transAxes,
            va="center",
            fontsize=LABEL,
            fontweight="bold" if look.bold else "normal",
        )
        line = {"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6, "shrinkA": 0, "shrinkB": 0}
        panel.annotate("", xy=tip, xytext=(1.04, place), textcoords="axes fraction", arrowprops=line)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return places in [0, 1] in the order of the heights, near them, and at least `gap` apart; (n − 1) gap ≤ 1."""
    order = np.argsort(heights, kind="stable")
    places = np.clip(np.asarray(heights, dtype=float)[order], 0, 1)
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    top = 1.0
    for i in reversed(range(len(places))):
        places[i] = top = min(places[i], top)
        top -= gap
    ordered = np.empty(len(places))
    ordered[order] = places
    return ordered.tolist()
