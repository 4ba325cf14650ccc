"""The figure of growth: time and exact memory against T, B, H and L, each with its fitted power law."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import TASK, groups, neuron_label, rule_rank, runs_of, slug
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, styled
from throughtime.reports.figures import cells_left_out, used_styles
from throughtime.reports.growth import CELL, COSTS, SIZES, WAYS, exponents, series, two_decimals
from throughtime.reports.quantities import quantity
from throughtime.reports.styles import Style, rule_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL = 0.075
"""Height of the label of an exponent, as a fraction of the panel's height."""
WHAT = {"wall_time": "of a sequence", **WAYS}
MEANING = (
    "Points: measured. Line, and number at its end: the power of the size that fits best, by least squares of the "
    "logarithms; its error is in the table of exponents."
)
HOLLOW = " Hollow: timed on a busy machine."


def growth_figures(results: Results, suite: str, scale: str) -> dict[str, Drawn]:
    """Draw wall time and exact peak memory against each size that a suite varies, in a figure for each neuron.

    Rows are costs, columns are sizes, colours are rules; both axes are logarithmic. Lines are fitted power laws.

    Args:
        results: all runs, so that a rule has the same colour in every figure.
        suite: one suite.
        scale: one of its scales.

    Returns:
        The figures by name: the neuron, with dataset and network where there are several. Empty for a suite without
        `exponents`.
    """
    chosen = results.select(suite, scale)
    fitted = exponents(chosen)
    if fitted.empty:
        return {}
    points, runs = _points(chosen, fitted), runs_of(chosen)
    styles = rule_styles(results.frame["rule"])
    telling = [part for part in TASK if part == "neuron" or points[part].nunique() > 1]
    return {slug("-".join(cell[telling].iloc[0])): _draw(cell, runs, styles) for _, cell in groups(points, TASK)}


def _points(results: Results, fitted: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each point of a series: the size as `number`, the mean cost as `value`, and the exponent."""
    names = ["suite", "scale", *CELL, "series", "size", "measure"]
    points_by_size = []
    for size in dict.fromkeys(fitted["size"]):
        data = series(results, size, COSTS)
        data = data.assign(network=data["kind"], size=size, number=data[size], contended=data["contended"].eq(True))
        long = data.melt([*names[:-1], "number", "contended"], list(COSTS), "measure", "value")
        grouped = long[long["value"] > 0].groupby([*names, "number"], sort=False, as_index=False)
        points_by_size.append(grouped.agg({"value": "mean", "contended": "any"}))
    points = pd.concat(points_by_size, ignore_index=True)
    points["contended"] &= points["measure"] == "wall_time"  # bytes are the same on a busy machine
    return points.merge(fitted[[*names, "exponent", "error", "at"]], on=names)


@styled
def _draw(points: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Style]) -> Drawn:
    sizes = [size for size in SIZES if size in set(points["size"])]
    costs = [cost for cost in COSTS if cost in set(points["measure"])]
    figure, panels = grid(len(costs) * len(sizes), columns=len(sizes), sharex="col", sharey="row")
    panel_by_key = {(cost, size): panels[i] for i, (cost, size) in enumerate((c, s) for c in costs for s in sizes)}
    for (cost, size), panel in panel_by_key.items():
        data = points[(points["measure"] == cost) & (points["size"] == size)]
        _draw_powers(panel, data, quantity(cost).factor, styles)
        numbers = sorted(set(points.loc[points["size"] == size, "number"]))
        panel.set_xscale("log")
        panel.set_xticks(numbers, [f"{number:.0f}" for number in numbers])
        panel.minorticks_off()
        if cost == costs[-1]:
            panel.set_xlabel(f"{size}, {SIZES[size]}")
        if size == sizes[0]:
            panel.set_ylabel(quantity(cost).label)
            scale_axis(panel.yaxis, points.loc[points["measure"] == cost, "value"] * quantity(cost).factor, ratio=0)
    for (cost, size), panel in panel_by_key.items():  # where a number stands depends on the limits, which a row shares
        data = points[(points["measure"] == cost) & (points["size"] == size)]
        _put_exponents(panel, data, quantity(cost).factor, styles)
    first = points.iloc[0]
    name = neuron_label(first["neuron"], first["network"])
    neurons = runs[runs["neuron"] == first["neuron"]]
    measured = neurons[neurons.reindex(columns=[*COSTS]).notna().any(axis=1)]
    where = [f"{size} at {' or '.join(dict.fromkeys(points.loc[points['size'] == size, 'at']))}" for size in sizes]
    notes = [
        f"Suite {first['suite']}, scale {first['scale']}, dataset {first['dataset']}, one run a point.",
        MEANING + (HOLLOW if points["contended"].any() else ""),
        f"One size alone varies: {'; '.join(where)}.",
        *[f"{quantity(cost).title.capitalize()}: {WHAT[cost]}, {quantity(cost).protocol}." for cost in costs],
        *cells_left_out(neurons, measured),
    ]
    title = f"Growth of {' and '.join(quantity(cost).title for cost in costs)}: {name}"
    finish(figure, title, notes, used_styles(styles, points["rule"]))
    return Drawn(figure, points.drop(columns="series"), title, notes)


def _draw_powers(panel: Axes, data: pd.DataFrame, factor: float, styles: dict[str, Style]) -> None:
    if data.empty:
        panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes, color="0.4")
    for (rule, _), line in sorted(groups(data, ["rule", "series"]), key=lambda group: rule_rank(group[0][0])):
        x, y, (colour, dash, *_) = line["number"], line["value"] * factor, styles[rule]
        ends = np.array([x.min(), x.max()])
        # The line of least squares goes through the mean of the logarithms.
        fit = np.exp(np.log(y).mean() + line["exponent"].iloc[0] * (np.log(ends) - np.log(x).mean()))
        panel.plot(ends, fit, color=colour, linestyle=dash, linewidth=1.3)
        faces = ["white" if busy else colour for busy in line["contended"]]
        panel.scatter(x, y, s=16, c=faces, edgecolors=[colour], linewidths=1, zorder=3)


def _put_exponents(panel: Axes, data: pd.DataFrame, factor: float, styles: dict[str, Style]) -> None:
    """Label the last point of each series with its exponent, shifted as little as possible to avoid overlaps."""
    last = data[data["number"] == data.groupby("series")["number"].transform("max")].sort_values("value")
    low, high = np.log(panel.get_ylim())
    steps = LABEL * np.arange(len(last))
    heights = (np.log(last["value"] * factor) - low) / (high - low) - steps
    from scipy.optimize import isotonic_regression  # 0.4 s, for reports without figures too

    places: Iterable[float] = isotonic_regression(heights).x + steps if len(last) else []
    for place, (_, row) in zip(places, last.iterrows(), strict=True):
        text, colour = two_decimals(row["exponent"]), styles[row["rule"]].colour
        panel.text(1.02, place, text, color=colour, fontsize=8, va="center", transform=panel.transAxes)
