"""The figure of one measure: a panel for each dataset and neuron, a row for each rule."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import TASK, groups, neuron_label, one_line, rule_title, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, scaled, styled
from throughtime.reports.figures import cells_left_out, count_range, heading
from throughtime.reports.look import look
from throughtime.reports.quantities import INTERVAL, INTERVAL_FROM, quantity
from throughtime.reports.styles import Style, rule_styles
from throughtime.reports.summaries import METRICS, summarise
from throughtime.reports.tuning import tuning_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW = 0.2
"""Height of a row, and of a further line of a label, in inches."""
LETTERS = 12
"""Letters of a label in an inch."""


@styled
def measure_figure(results: Results, suite: str, scale: str, measure: str) -> Drawn | None:
    """Draw the mean of a measure for each rule, with its interval and the single replicates.

    Args:
        results: all runs, so that a rule has the same colour in every figure.
        suite: one suite.
        scale: one of its scales.
        measure: a measure's name; `metric` is the headline metric of each dataset's task.

    Returns:
        The figure, or None if no run of the suite has the measure.
    """
    runs = runs_of(results, suite, scale)
    data = summarise(runs, measure) if measure in runs or f"unit.{measure}" in runs or measure in METRICS else None
    if data is None or not data["n"].any():
        return None
    data = data[data["n"] > 0].reset_index(drop=True)
    cells = groups(data, TASK)
    styles = rule_styles(results.frame["rule"])
    neurons = len(data[["network", "neuron"]].drop_duplicates())
    columns = neurons if 2 <= neurons <= 4 else min(3, len(cells))
    figure, panels = grid(len(cells), columns)
    for panel, ((dataset, network, neuron), cell) in zip(panels, cells, strict=True):
        _draw(panel, cell, styles)
        panel.set_title(f"{dataset} · {neuron_label(neuron, network)}")
    if look().axis is None:
        rows = max(len(cell) for _, cell in cells)
        width, _ = figure.get_size_inches()
        lines = max(_wrap_label(panel, int(LETTERS * width / columns)) for panel in panels[: len(cells)])
        height = max(1.6, 0.8 + ROW * rows) + ROW * (lines - 1)
        figure.set_size_inches(width, math.ceil(len(cells) / columns) * height)
    few = f", of fewer than {INTERVAL_FROM} replicates none" if data["n"].min() < INTERVAL_FROM else ""
    protocol = "; ".join(dict.fromkeys(data["protocol"]))
    notes = [
        heading(suite, scale, f"{count_range(data['n'])} a row"),
        f"Large: mean; small: single replicates; bars: {INTERVAL}{few}. {protocol[:1].upper()}{protocol[1:]}.",
        *tuning_sentence(runs),
        *cells_left_out(runs, data),
    ]
    title = (
        quantity(data["measure"].iloc[0], data["unit"].iloc[0]).title if data["measure"].nunique() == 1 else "Result"
    )
    finish(figure, title, notes, {})
    return Drawn(figure, data.drop(columns="values"), title, notes)


def _wrap_label(panel: Axes, letters: int) -> int:
    """Wrap the label of the horizontal axis at the width of its panel; return its number of lines."""
    lines = textwrap.wrap(panel.get_xlabel(), letters) or [""]
    panel.set_xlabel("\n".join(lines))
    return len(lines)


def _draw(panel: Axes, cell: pd.DataFrame, styles: dict[str, Style]) -> None:
    """Draw the rules of a dataset and neuron, the first at the top."""
    kind = quantity(*cell[["measure", "unit"]].iloc[0])
    for y, (_, row) in enumerate(cell.iterrows()):
        colour = styles[row["rule"]].colour
        if pd.notna(row["low"]):
            panel.plot([row["low"] * kind.factor, row["high"] * kind.factor], [y, y], color=colour, linewidth=1.2)
        singles = [value * kind.factor for value in row["values"]]
        panel.plot(singles, [y] * len(singles), "o", color=colour, markersize=2.5, alpha=0.6)
        panel.plot(row["mean"] * kind.factor, y, "o", color=colour, markersize=6, markeredgecolor="white")
    panel.set_yticks(range(len(cell)), [one_line(rule_title(rule)) for rule in cell["rule"]])
    panel.set_ylim(len(cell) - 0.5, -0.5)
    if kind.recorded != "fraction":
        scale_axis(panel.xaxis, cell["mean"] * kind.factor, ratio=20)
    panel.set_xlabel(scaled(kind.label, panel.xaxis))
