"""Figure of a tuning: the result on the validation split against the value of each option under trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import TASK, groups, neuron_label, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, styled
from throughtime.reports.figures import used_styles
from throughtime.reports.quantities import quantity
from throughtime.reports.styles import Style, rule_styles
from throughtime.reports.summaries import summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@styled
def tuning_figure(results: Results, suite: str, scale: str) -> Drawn | None:
    """Draw the trials of a tuning: a row for each dataset and neuron, a panel for each option, a colour for each rule.

    A point is a trial, a line joins the best trials of a rule at each value of the option.

    Args:
        results: all runs, so that a rule has the same colour in every figure.
        suite: the suite of the trials, `<name>-tune`.
        scale: one of its scales.

    Returns:
        The figure, or None if the suite has no trials that ended ok.
    """
    data = trials(results, suite, scale)
    if data.empty:
        return None
    styles = rule_styles([*data["rule"], *results.frame["rule"]])
    options, cells = list(dict.fromkeys(data["option"])), groups(data, TASK)
    figure, panels = grid(len(cells) * len(options), columns=len(options), sharey="row")
    for row, ((dataset, network, neuron), cell_runs) in enumerate(cells):
        shown = quantity(*cell_runs[["measure", "unit"]].iloc[0])
        for panel, option in zip(panels[row * len(options) :], options, strict=False):
            panel.set_title(f"{dataset} · {neuron_label(neuron, network)}")
            panel.set_xlabel(option.rpartition(".")[2])
            for (rule,), points in groups(cell_runs[cell_runs["option"] == option], ["rule"]):
                _draw(panel, points, styles[rule], shown.factor)
        panels[row * len(options)].set_ylabel(f"validation {shown.label}")
    notes = [
        f"Suite {suite}, scale {scale}: {data['trial'].nunique()} trials.",
        f"Point: a trial, {quantity('metric_validation').protocol}. Line: the best trial at each value of the option.",
    ]
    finish(figure, "Tuning", notes, used_styles(styles, data["rule"]))
    return Drawn(figure, data, "Tuning", notes)


def trials(results: Results, suite: str, scale: str) -> pd.DataFrame:
    """Return a row for each trial that ended ok and each of its options, with the mean over its replicates."""
    runs = runs_of(results, suite, scale)
    rows: list[dict[str, Any]] = []
    for _, row in summarise(runs, "metric_validation").iterrows() if len(runs) else ():
        same = (runs[[*TASK, "rule"]] == row[[*TASK, "rule"]]).all(axis=1)
        values = results.record(runs.loc[same, "id"].iloc[0]).spec.trial
        for option, value in values.items() if row["n"] else ():
            known = {name: row[name] for name in (*TASK, "measure", "unit", "mean", "n")}
            trial = f"{row['rule']} {row['neuron']} {row['network']} {row['dataset']}"
            sign = 1 if row["better"] == "higher" else -1
            rule = row["rule"].partition(" ")[0]
            rows.append({**known, "rule": rule, "trial": trial, "option": option, "value": value, "sign": sign})
    return pd.DataFrame(rows)


def _draw(panel: Axes, points: pd.DataFrame, style: Style, factor: float) -> None:
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in points["value"])
    points = points.assign(x=points["value"].astype(float) if numeric else points["value"].map(str))
    best = points.loc[(points["mean"] * points["sign"]).groupby(points["x"]).idxmax()]
    panel.plot(points["x"], points["mean"] * factor, "o", color=style.colour, markersize=4, alpha=0.5, linestyle="none")
    panel.plot(best["x"], best["mean"] * factor, color=style.colour, linewidth=1.4)
    if numeric:
        scale_axis(panel.xaxis, points["x"], ratio=5)
