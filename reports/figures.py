"""Figures: learning curves, and memory against the length of the sequence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.records.store import validation_metric
from throughtime.reports.cells import KEYS, TASK, groups, natural, neuron_label, rule_rank, rule_title, runs_of
from throughtime.reports.drawing import Alternatives, Drawn, finish, grid, scale_axis, scaled, star, styled
from throughtime.reports.growth import PROCESS, WAYS, series
from throughtime.reports.quantities import INTERVAL, INTERVAL_FROM, MIB, quantity, replicate_interval
from throughtime.reports.styles import Style, rule_styles
from throughtime.reports.summaries import summarise
from throughtime.reports.tuning import star_sentence, starred

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PROGRESS = {
    **{"iteration": "iterations", "updates": "updates", "sequences": "sequences"},
    "seconds": "seconds of training",
}
"""Columns of learning curves that may take the place of the epoch, and their titles."""
NO_CURVE = "Not drawn: no run left a learning curve."
NO_STEPS = (
    "Not drawn: no peak memory was measured at two lengths of the sequence (option `steps` of the dataset) with all "
    "else the same."
)


@styled
def learning_curves(results: Results, suite: str, scale: str) -> Drawn | None:
    """Draw the validation metric against epochs: a panel for each dataset and neuron, a line for each rule.

    The line is the mean over the replicates that ended ok, with the band of its interval; of fewer than
    `INTERVAL_FROM` replicates each is a thin line. A replicate that failed is a thin line that ends in a cross. The
    epochs after training began set the range of the vertical axis: an untrained network may be far from it.

    Args:
        results: all runs, so that a rule has the same colour in every figure.
        suite: one suite.
        scale: one of its scales.

    Returns:
        The figure, or None if no run left a curve.
    """
    runs = runs_of(results, suite, scale)
    metrics = {row["dataset"]: (row["measure"], row["unit"]) for _, row in summarise(runs).iterrows()}
    data = _curves(results, runs, {dataset: name for dataset, (name, _) in metrics.items()})
    if data.empty:
        return None
    styles, at_edge = rule_styles(results.frame["rule"]), starred(runs)
    cells = groups(runs, TASK)
    neurons = runs[["network", "neuron"]].drop_duplicates()
    figure, panels = grid(len(cells), columns=len(neurons) if 2 <= len(neurons) <= 4 else 3)
    for panel, (key, _) in zip(panels, cells, strict=True):
        dataset, network, neuron = key
        panel.set_title(f"{dataset} · {neuron_label(neuron, network)}")
        selected = data[(data[TASK] == list(key)).all(axis=1)]
        if selected.empty:
            panel.text(0.5, 0.5, "no run left a curve", ha="center", transform=panel.transAxes, color="0.4")
            panel.set(xticks=[], yticks=[])
            continue
        shown = quantity(*metrics[dataset])
        panel.set(xlabel="epoch", ylabel=f"validation {shown.label}")
        for (rule,), lines in groups(selected, ["rule"]):
            _draw_curve(panel, lines, styles[rule], shown.factor, (suite, scale, *key, rule) in at_edge)
        if shown.recorded != "fraction":
            trained = (data["dataset"] == dataset) & (data["epoch"] > 0) & np.isfinite(data["validation"])
            scale_axis(panel.yaxis, data.loc[trained, "validation"] * shown.factor, ratio=20)
        if selected["chance"].notna().any():
            panel.axhline(selected["chance"].max() * shown.factor, color="0.45", linestyle=(0, (4, 3)), linewidth=1)
        panel.locator_params(axis="x", integer=True)
    for dataset, (name, unit) in metrics.items():
        selected = data[(data["dataset"] == dataset) & (data["epoch"] > 0)]
        for panel in [p for p, (key, _) in zip(panels, cells, strict=True) if key[0] == dataset and p.lines]:
            _limits(panel, pd.concat([selected["validation"], selected["chance"]]) * quantity(name, unit).factor)
    notes = [
        heading(suite, scale, f"{count_range(data['n'])} a line"),
        _what_is_drawn(data),
        *star_sentence(runs),
        *cells_left_out(runs, data),
    ]
    finish(figure, "Learning curves", notes, used_styles(styles, data["rule"]))
    return Drawn(figure, data.drop(columns="chance"), "Learning curves", notes, _choices(data))


def _what_is_drawn(data: pd.DataFrame) -> str:
    """Return the note on lines and bands of learning curves."""
    if data["low"].notna().any():
        band = f"Band: {INTERVAL}, cut where it leaves the panel. "
    else:
        thin = ", each a thin line" if data["n"].max() > 1 else ""
        band = f"No band: there are fewer than {INTERVAL_FROM} replicates{thin}. "
    chance = "Dashed: chance. " if data["chance"].notna().any() else ""
    failed = "Thin, ending in a cross: a replicate that failed." if (data["status"] != "ok").any() else ""
    return f"Line: mean over the replicates that ended ok, validation split. {band}{chance}{failed}"


@styled
def memory_against_steps(results: Results) -> Drawn | None:
    """Draw peak memory against T, the number of time steps, for runs that differ only in T.

    Rows are neurons (with network, dataset and batch), lines are rules. The three panels of a row show exact bytes with
    the input on the device, excluded, and streamed; the second also shows the process's peak, which excludes the input.
    Without exact bytes, a row has one panel, of the process's peak. Returns None if no run was measured at two T.
    """
    measures = [*WAYS, PROCESS]
    data = series(results, "T", measures)
    if data.empty:
        return None
    exact = [way for way in WAYS if data[way].notna().any()]
    styles = rule_styles(results.frame["rule"])
    rows = groups(data, ["suite", "scale", "dataset", "batch", "network", "neuron"])
    several = len(data[["suite", "scale"]].drop_duplicates()) > 1
    ways = exact or [PROCESS]
    figure, panels = grid(len(rows) * len(ways), columns=len(exact) or 3, sharey="row" if exact else False)
    for i, ((suite, scale, dataset, batch, network, neuron), cell) in enumerate(rows):
        name = neuron_label(neuron, network)
        where = [f"{dataset}, batch {batch}", *([f"{suite}, {scale}"] if several else [])]
        for k, way in enumerate(ways):
            panel = panels[i * len(ways) + k]
            _draw_growth(panel, cell, way, ways, styles)
            panel.set_title(f"{name} · {WAYS[way] if exact else ', '.join(where)}")
            if k == 0:
                panel.set_ylabel("\n".join([*(where if exact else []), scaled("MiB", panel.yaxis)]))
            if not exact or i == len(rows) - 1:
                panel.set_xlabel(scaled("T, time steps", panel.xaxis))
    suites = ", ".join(sorted(set(data["suite"]), key=natural))
    described = [way for way in [*exact[:1], PROCESS] if data[way].notna().any()]
    notes = [
        heading(suites, ", ".join(dict.fromkeys(data["scale"])), "one point a run"),
        *[f"{p.title[0].upper()}{p.title[1:]}: {p.protocol}." for p in map(quantity, described)],
        *(
            ["Dotted: the process's peak, beside the exact bytes with the input excluded."]
            if len(described) > 1
            else []
        ),
        "Slopes, in bytes a step, are in the table of memory a time step.",
    ]
    title = "Peak memory against the length of the sequence"
    finish(figure, title, notes, used_styles(styles, data["rule"]))
    columns = ["suite", "scale", "network", "neuron", "rule", "dataset", "batch", "replicate", "steps"]
    return Drawn(figure, data[[*columns, *(m for m in measures if data[m].notna().any())]], title, notes)


def _curves(results: Results, runs: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """Return a row for each run and epoch, with `mean`, `low`, `high`, `n` over the ok replicates of that epoch."""
    named = [*KEYS, "replicate", "status"]
    rows = [
        {
            **{name: run[name] for name in named},
            "metric": metrics[run["dataset"]],
            "epoch": point["epoch"],
            "validation": validation_metric(point, metrics[run["dataset"]]),
            "chance": run.get("chance"),
            **{name: point.get(name) for name in PROGRESS},
        }
        for run in runs.to_dict("records")
        for point in results.curve(run["id"])
    ]
    if not rows:
        return pd.DataFrame()
    data = pd.DataFrame(rows).astype(dict.fromkeys(("chance", "validation", *PROGRESS), float))
    fine = data[(data["status"] == "ok") & np.isfinite(data["validation"])]
    columns = [*KEYS, "epoch", "status"]
    units = {row["dataset"]: row["unit"] for _, row in summarise(runs).iterrows()}
    means = [
        (*key, *replicate_interval(cell["validation"], cell["metric"].iloc[0], units[cell["dataset"].iloc[0]]))
        for key, cell in groups(fine, columns)
    ]
    intervals = pd.DataFrame(means, columns=[*columns, "mean", "low", "high", "n"]).astype(
        {"epoch": data["epoch"].dtype, "mean": float, "low": float, "high": float, "n": float}
    )
    # Joined also on the status, so that a failed replicate gets no mean.
    data = data.merge(intervals, how="left", on=columns)
    # Failed runs lack the chance level: take it from the other runs of the dataset.
    data["chance"] = data.groupby("dataset")["chance"].transform("max")
    return data


def _choices(data: pd.DataFrame) -> Alternatives:
    """Return, for each panel, quantity and rule, its mean over the replicates at each epoch."""
    choices: dict[str, dict[str, dict[str, dict[int, float]]]] = {}
    for (dataset, network, neuron, rule), lines in groups(data, [*TASK, "rule"]):
        panel = choices.setdefault(f"{dataset} · {neuron_label(neuron, network)}", {})
        for name, title in PROGRESS.items():
            means = lines.groupby("epoch")[name].mean().dropna()
            panel.setdefault(title, {})[rule_title(rule)] = dict(
                zip(map(int, means.index), map(float, means), strict=True)
            )
    return choices


def _draw_curve(panel: Axes, lines: pd.DataFrame, style: Style, factor: float, at_edge: bool) -> None:
    """Draw one rule: the mean with its band, or thin single replicates; a failed replicate ends in a cross, and the
    mean in a star if the cell's tuning chose a value at the edge of its grid."""
    # An epoch without a value interrupts the line.
    mean = lines.sort_values("n").drop_duplicates("epoch").set_index("epoch").sort_index()
    marker = "." if mean["n"].notna().sum() <= 15 else ""
    drawn: dict[str, Any] = {"color": style.colour, "linestyle": style.dash, "linewidth": 1.6, "marker": marker}
    panel.plot(mean.index, mean["mean"] * factor, **drawn)
    end = mean["mean"].dropna().tail(1)
    for epoch, value in zip(end.index, end, strict=True) if at_edge else ():
        star(panel, epoch, value * factor, style.colour)
    if mean["low"].notna().any():
        ends = (mean["low"] * factor, mean["high"] * factor)
        panel.fill_between(mean.index, *ends, color=style.colour, alpha=0.15, linewidth=0)
    fine = lines[lines["status"] == "ok"]
    for _, single in groups(fine if mean["low"].isna().all() and mean["n"].max() > 1 else fine[:0], ["replicate"]):
        panel.plot(single["epoch"], single["validation"] * factor, color=style.colour, linewidth=0.6, alpha=0.6)
    for _, failed in groups(lines[lines["status"] != "ok"], ["replicate"]):
        panel.plot(failed["epoch"], failed["validation"] * factor, color=style.colour, linewidth=0.8, alpha=0.8)
        last = failed[failed["validation"].notna()].tail(1)
        panel.plot(last["epoch"], last["validation"] * factor, color=style.colour, marker="x", markersize=7)


def _limits(panel: Axes, values: pd.Series) -> None:
    """Set the vertical range to that of some values with a margin, in the scale of the axis."""
    finite = values[np.isfinite(values)]
    if finite.empty:
        return
    low, high = finite.min(), finite.max()
    if panel.get_yscale() == "log":
        margin = (high / low) ** 0.08
        panel.set_ylim(low / margin, high * margin)
    elif high > low:
        panel.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))


def cells_left_out(runs: pd.DataFrame, data: pd.DataFrame, what: str = "figure") -> list[str]:
    """Return a sentence that names the cells without data in the figure; an empty list if there are none."""
    shown = set(data[KEYS].itertuples(index=False, name=None))
    names = [
        f"{rule} {neuron_label(neuron, network)} {dataset} ({', '.join(dict.fromkeys(cell_runs['status']))})"
        for (suite, scale, dataset, network, neuron, rule), cell_runs in groups(runs[[*KEYS, "status"]], KEYS)
        if (suite, scale, dataset, network, neuron, rule) not in shown
    ]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return [f"Not in the {what}: {', '.join(names[:8])}{more}."] if names else []


def heading(suite: str, scale: str, what: str) -> str:
    """Return the first sentence of a caption: suite, scale, and what a line or point is."""
    return f"Suite {suite}, scale {scale}, {what}."


def count_range(n: pd.Series) -> str:
    """Format numbers of replicates as `n = 3` or `n = 1–3`."""
    return f"n = {'–'.join(f'{k:.0f}' for k in dict.fromkeys((n.min(), n.max())))}" if n.notna().any() else "n = 0"


def used_styles(styles: dict[str, Style], rules: Iterable[str]) -> dict[str, Style]:
    return {rule: styles[rule] for rule in sorted(set(rules), key=rule_rank)}


def _draw_growth(panel: Axes, cell: pd.DataFrame, way: str, ways: list[str], styles: dict[str, Style]) -> None:
    """Draw one measure of the runs of a neuron; with exact bytes without input also the process's peak."""
    companions = [PROCESS] if way == "peak_live_bytes_without_input" else []
    for (rule, _), runs in sorted(groups(cell, ["rule", "series"]), key=lambda group: rule_rank(group[0][0])):
        for measure in [way, *companions]:
            line = runs.groupby("steps")[measure].mean() / MIB  # a length without a value interrupts the line
            line = line.where(line > 0) if measure != way else line  # a process that did not grow has no logarithm
            if measure == way:
                style: dict[str, Any] = {
                    "linestyle": styles[rule].dash,
                    "linewidth": 1.6,
                    "marker": "o",
                    "markersize": 3,
                }
            else:
                style = {"linestyle": ":", "linewidth": 1.0, "alpha": 0.7, "zorder": 1}
            panel.plot(line.index, line, color=styles[rule].colour, **style)
    # The scale is the same in all panels of the row; only exact bytes determine it.
    values = cell[ways].stack()
    if values.max() > 8 * values.min() > 0:
        scale_axis(panel.xaxis, cell["steps"], ratio=1.5)
        scale_axis(panel.yaxis, values / MIB, ratio=1.5)
    else:
        panel.set_ylim(bottom=min(0, values.min() / MIB))
