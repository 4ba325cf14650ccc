"""The figure of the result against memory and time, with its Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import KEYS, groups, neuron_label, one_line, rule_title, runs_of
from throughtime.reports.drawing import (
    Alternatives,
    Drawn,
    finish,
    grid,
    identified,
    neuron_markers,
    scale_axis,
    scaled,
    star,
    styled,
)
from throughtime.reports.figures import cells_left_out, count_range, heading, used_styles
from throughtime.reports.quantities import INTERVAL, INTERVAL_FROM, quantity
from throughtime.reports.styles import Style, rule_styles
from throughtime.reports.summaries import summarise
from throughtime.reports.tuning import star_sentence, starred

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_COST = "Not drawn: no cell has both a metric and a peak memory or a wall time."
EXACT, PROCESS, TIME = "peak_live_bytes", "peak_process_bytes", "wall_time"
FURTHER = (EXACT, PROCESS, TIME, "training_time")
"""Costs that the page offers for the horizontal axis of the first column, where they were measured."""
LABEL = 6.5
"""Size of the labels of the front, in points."""


def costs_of(runs: pd.DataFrame) -> tuple[str, str]:
    """Return the costs of both columns: exact bytes, or the peak of the process where these were not counted; time."""
    return (EXACT if EXACT in runs and runs[EXACT].notna().any() else PROCESS), TIME


@styled
def tradeoff(results: Results, suite: str, scale: str) -> Drawn | None:
    """Draw the metric against memory and wall time: rows are datasets, colours rules, markers neurons. Points of the
    Pareto front have labels.

    Args and Returns are those of `learning_curves`; None if no cell has a metric and a cost.
    """
    runs = runs_of(results, suite, scale)
    costs = costs_of(runs)
    data = _points(results, runs, costs)
    if data.empty:
        return None
    styles = rule_styles(results.frame["rule"])
    markers = neuron_markers(data["neuron_label"])
    datasets = groups(data, ["dataset"])
    at_edge = starred(runs)
    figure, panels = grid(2 * len(datasets), columns=2, sharey="row")
    for row, ((dataset,), cells) in enumerate(datasets):
        shown = quantity(*cells[["measure", "unit"]].iloc[0])
        for panel, cost in zip(panels[2 * row : 2 * row + 2], costs, strict=True):
            _draw(panel, cells, cost, styles, markers)
            for _, cell in cells[cells[cost].notna()].iterrows():
                if tuple(cell[KEYS]) in at_edge:
                    star(panel, cell[cost] * quantity(cost).factor, cell["mean"] * shown.factor, "white", 5)
            panel.set_title(dataset if cost != TIME else "")
        panels[2 * row].set_ylabel(shown.label)
        if shown.recorded != "fraction":
            scale_axis(panels[2 * row].yaxis, cells["mean"], ratio=20)
    few = data["n"].min() < INTERVAL_FROM
    fronts = (
        ""
        if data[[f"front.{cost}" for cost in costs]].sum().sum() == 0
        else " Grey steps and labels: the Pareto front."
    )
    notes = [
        heading(suite, scale, f"{count_range(data['n'])} a point"),
        f"Vertical: {data['protocol'].iloc[0]}; bars: {INTERVAL}"
        + (f", of fewer than {INTERVAL_FROM} replicates from the smallest to the largest. " if few else ". ")
        + f"Horizontal: one run a cell; bars of wall time: quartiles of the timed batches.{fronts}",
        *star_sentence(runs),
        *cells_left_out(runs, data),
    ]
    title = "Result against cost"
    solid = {rule: style._replace(dash="-") for rule, style in used_styles(styles, data["rule"]).items()}
    finish(figure, title, notes, solid, markers)
    choices = _choices(data, runs, costs[0])
    return Drawn(figure, data.drop(columns=["protocol", "neuron_label", "values"]), title, notes, choices)


def _choices(data: pd.DataFrame, runs: pd.DataFrame, shown: str) -> Alternatives:
    """Return, for each dataset and further cost, the cost of each point by its id, in the unit of the label."""
    alternatives: dict[str, dict[str, dict[str, float]]] = {}
    for cost in FURTHER:
        if cost == shown or cost not in runs or runs[cost].isna().all():
            continue
        kind, means = quantity(cost), summarise(runs, cost).set_index(KEYS)["mean"]
        for i, cell in data.iterrows():
            value = means.get(tuple(cell[KEYS]))
            if value is not None and np.isfinite(value):
                alternatives.setdefault(cell["dataset"], {}).setdefault(kind.label, {})[str(i)] = (
                    float(value) * kind.factor
                )
    return alternatives


def _points(results: Results, runs: pd.DataFrame, costs: tuple[str, str]) -> pd.DataFrame:
    """Return a row for each cell with a metric and a cost; `front.<cost>`: whether it is on the Pareto front of its
    dataset; `wall_time.low` and `wall_time.high`: quartiles of the timed batches."""
    data = summarise(runs)[[*KEYS, "measure", "unit", "better", "mean", "low", "high", "n", "values", "protocol"]]
    for cost in costs:
        data[cost] = summarise(runs, cost)["mean"]
    data = data[data["mean"].notna() & data[list(costs)].notna().any(axis=1)].reset_index(drop=True)
    timed = runs[runs["wall_time"].notna()].set_index(KEYS)["id"].to_dict() if "wall_time" in runs else {}
    ends = [_quartiles(results, timed.get(tuple(row))) for row in data[KEYS].itertuples(index=False)]
    data[["wall_time.low", "wall_time.high"]] = np.array(ends, dtype=float).reshape(-1, 2)
    data["neuron_label"] = [neuron_label(*pair) for pair in data[["neuron", "network"]].itertuples(index=False)]
    for cost in costs:
        data[f"front.{cost}"] = False
        for _, cells in groups(data, ["dataset"]):
            data.loc[pareto_front(cells, cost), f"front.{cost}"] = True
    return data


def _quartiles(results: Results, run: str | None) -> tuple[float, float]:
    samples = results.record(run).measures["wall_time"].samples if run is not None else []
    low, high = np.quantile(samples, [0.25, 0.75]) if len(samples) > 1 else (np.nan, np.nan)
    return float(low), float(high)


def pareto_front(cells: pd.DataFrame, cost: str) -> pd.Index:
    """Return the index of the cells that no other cell beats in both the metric and the cost, by rising cost.

    Args:
        cells: rows with `mean`, its direction `better`, and the cost.
        cost: the column of the cost, of which less is better.
    """
    known = cells[cells[cost].notna()]
    if known.empty or not known["better"].iloc[0]:
        return known.index[:0]
    sign = 1 if known["better"].iloc[0] == "higher" else -1
    gain = sign * known["mean"]
    order = known.assign(gain=gain).sort_values([cost, "gain"], ascending=[True, False])
    before = order["gain"].cummax().shift(fill_value=-np.inf)
    return order.index[order["gain"] > before]


def _draw(panel: Axes, cells: pd.DataFrame, cost: str, styles: dict[str, Style], markers: dict[str, str]) -> None:
    """Draw one cost of a dataset: the front, and a point with its bars for each cell."""
    factor, metric_factor = quantity(cost).factor, quantity(*cells[["measure", "unit"]].iloc[0]).factor
    front = cells[cells[f"front.{cost}"]].sort_values(cost)
    if len(front) > 1:
        panel.step(
            front[cost] * factor, front["mean"] * metric_factor, where="post", color="0.55", linewidth=1, zorder=1
        )
    for i, cell in cells[cells[cost].notna()].iterrows():
        low, high = (cell["low"], cell["high"]) if pd.notna(cell["low"]) else (min(cell["values"]), max(cell["values"]))
        ends = [
            [cell["mean"] - low],
            [high - cell["mean"]],
        ]  # the mean of equal values may differ from them by rounding
        bars: dict[str, Any] = {"yerr": np.maximum(0, ends) * metric_factor}
        if cost == "wall_time" and pd.notna(cell["wall_time.low"]):
            ends = [[cell[cost] - cell["wall_time.low"]], [cell["wall_time.high"] - cell[cost]]]
            bars["xerr"] = np.maximum(0, ends) * factor
        drawn = panel.errorbar(
            cell[cost] * factor,
            cell["mean"] * metric_factor,
            **bars,
            color=styles[cell["rule"]].colour,
            marker=markers[cell["neuron_label"]],
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.6,
            elinewidth=1.0,
            alpha=0.75,  # points of rules with equal cost and metric coincide
        )
        for part in drawn.get_children():
            identified(part, str(i))
    x = cells[cost] * factor
    if x.isna().all():
        panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes, color="0.4")
    panel.margins(x=0.1)
    scale_axis(panel.xaxis, x, ratio=5)
    panel.set_xlabel(scaled(quantity(cost).label, panel.xaxis))
    _label(panel, [(cell["rule"], cell[cost] * factor, cell["mean"] * metric_factor) for _, cell in front.iterrows()])


def _label(panel: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Write the rules of points beside them; those of points that are close to each other as one label."""
    to_panel = panel.transData + panel.transAxes.inverted()
    labels: list[tuple[tuple[float, float], list[str]]] = []
    for rule, x, y in points:
        name = one_line(rule_title(rule))
        distances = [np.abs(to_panel.transform((x, y)) - to_panel.transform(tip)) for tip, _ in labels]
        near = next(
            (names for (_, names), d in zip(labels, distances, strict=True) if d[0] < 0.2 and d[1] < 0.06), None
        )
        if near is None:
            labels.append(((x, y), [name]))
        elif name not in near:
            near.append(name)
    for tip, names in labels:
        style: dict[str, Any] = {"textcoords": "offset points", "va": "top", "fontsize": LABEL}
        panel.annotate(", ".join(names), tip, (4, -4), **style)
