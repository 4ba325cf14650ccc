"""Figures of the result and the cost against a numeric option of a rule, such as the window K of truncated BPTT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import KEYS, groups, neuron_label, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, neuron_markers, scale_axis, scaled, star, styled
from throughtime.reports.figures import count_range, heading
from throughtime.reports.quantities import quantity
from throughtime.reports.styles import Style, rule_styles
from throughtime.reports.summaries import summarise
from throughtime.reports.tuning import star_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = ("metric", "peak_live_bytes", "wall_time")
FEWEST_VALUES = 3
"""Smallest number of values of an option that make a figure."""


def option_figures(results: Results, suite: str, scale: str) -> dict[str, Drawn]:
    """Draw metric, exact peak memory and wall time against the option in which the variants of a rule differ.

    Args:
        results: all runs, so that a rule has the same colour in every figure.
        suite: one suite.
        scale: one of its scales.

    Returns:
        The figures by `<rule>-<option>`, for each rule with variants that differ in one numeric option alone and have
        at least `FEWEST_VALUES` values of it, and a result or a cost.
    """
    runs = runs_of(results, suite, scale)
    figures = {}
    for (rule,), rule_runs in groups(runs, ["rule_name"]):
        cells = rule_runs.drop_duplicates(KEYS)
        options = [results.record(run).spec.rule.options for run in cells["id"]]
        names = {name for given in options for name in given if len({str(other.get(name)) for other in options}) > 1}
        values = [given.get(name) for given in options for name in names]
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        if len(names) == 1 and numeric and len(set(values)) >= FEWEST_VALUES:
            (name,) = names
            option = pd.Series(values, index=pd.MultiIndex.from_frame(cells[KEYS]), name="option", dtype=float)
            points = _points(rule_runs, option)
            if len(points):
                figures[f"{rule}-{name}"] = _draw(results, points, rule, name)
    return figures


def _points(runs: pd.DataFrame, option: pd.Series) -> pd.DataFrame:
    """Return a row for each cell and measure, with the value of the option."""
    named = [name for name in MEASURES if name == "metric" or name in runs]
    data = pd.concat([summarise(runs, name).assign(shown=name) for name in named], ignore_index=True)
    data = data[data["n"] > 0].join(option, on=KEYS)
    return data.sort_values("option", kind="stable")


@styled
def _draw(results: Results, data: pd.DataFrame, rule: str, option: str) -> Drawn:
    styles = rule_styles(results.frame["rule"])
    data = data.assign(cell=[neuron_label(*pair) for pair in data[["neuron", "network"]].itertuples(index=False)])
    markers = neuron_markers(data["cell"])
    datasets, shown = groups(data, ["dataset"]), [name for name in MEASURES if name in set(data["shown"])]
    figure, panels = grid(len(datasets) * len(shown), columns=len(shown))
    for row, ((dataset,), dataset_data) in enumerate(datasets):
        for column, name in enumerate(shown):
            panel, measure_data = panels[row * len(shown) + column], dataset_data[dataset_data["shown"] == name]
            _draw_measure(panel, measure_data, styles, markers)
            panel.set_title(dataset if column == 0 else "")
            panel.set_xlabel(scaled(option, panel.xaxis))
    first = data.iloc[0]
    notes = [
        heading(first["suite"], first["scale"], f"{count_range(data.loc[data['shown'] == 'metric', 'n'])} a point"),
        "Large: mean over the replicates that ended ok; small: single replicates. "
        f"Colour: {option}, from light to dark.",
        *star_sentence(data[data["shown"] == "metric"]),
    ]
    title = f"{rule} against its option {option}"
    finish(
        figure, title, notes, {name: styles[name]._replace(dash="-") for name in dict.fromkeys(data["rule"])}, markers
    )
    return Drawn(figure, data.drop(columns=["values", "cell"]), title, notes)


def _draw_measure(panel: Axes, data: pd.DataFrame, styles: dict[str, Style], markers: dict[str, str]) -> None:
    if data.empty:
        panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes, color="0.4")
        return
    kind = quantity(*data[["measure", "unit"]].iloc[0])
    for (cell,), line in groups(data, ["cell"]):
        panel.plot(line["option"], line["mean"] * kind.factor, color="0.6", linewidth=1, zorder=1)
        for _, point in line.iterrows():
            drawn: dict[str, Any] = {"color": styles[point["rule"]].colour, "marker": markers[cell], "linestyle": ""}
            panel.plot([point["option"]], [point["mean"] * kind.factor], markersize=6, **drawn)
            if point["shown"] == "metric" and point["edge"]:
                star(panel, point["option"], point["mean"] * kind.factor, "white", 5)
            singles = [value * kind.factor for value in point["values"]]
            panel.plot([point["option"]] * len(singles), singles, markersize=2.5, alpha=0.6, **drawn)
    scale_axis(panel.xaxis, data["option"], ratio=5)
    if kind.recorded != "fraction":
        scale_axis(panel.yaxis, data["mean"] * kind.factor, ratio=5)
    panel.set_ylabel(kind.label)
