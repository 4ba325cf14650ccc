"""Figures of the adding task: error against iterations, against updates, and at the end, before the authors' values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups, rule_rank, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, plot_curves, scale_axis, scaled, styled
from throughtime.reports.fptt.adding import CELLS, LOOPS, SUITES, TRIVIAL, curves, published
from throughtime.reports.papers.claims import AVERAGED
from throughtime.reports.styles import PALE, Style, rule_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIGHEST = 0.25
"""Error at which bars are cut."""
BEHIND = "Pale: the authors' curves, in the panel of their training loop; fresh sequences, means of 10 iterations."


@styled
def against_iterations(results: Results, scale: str, T: int) -> Drawn | None:
    """Draw the error against training iterations: a row per network, a column per loop of the authors, a line per run.

    Args:
        results: of any suites.
        scale: the scale of the runs to draw.
        T: length of the sequences in the paper; the authors' curves are drawn if the runs have this length.
    """
    data, specs = _data(results, scale, T)
    data = data[data["rule"].isin(LOOPS) & data["neuron"].ne("ltc")] if len(data) else data
    if data.empty:
        return None
    ours = data["source"] == "ours"
    neurons = [neuron for neuron in CELLS if neuron in set(data.loc[ours, "neuron"])]
    rules = [rule for rule in LOOPS if rule in set(data.loc[ours, "rule"])]
    data = data[data["neuron"].isin(neurons) & data["rule"].isin(rules)]
    styles = _styles(results)
    figure, panels = grid(len(neurons) * len(rules), columns=len(rules), sharex=True, sharey=True)
    places = [(neuron, rule) for neuron in neurons for rule in rules]
    for panel, (neuron, rule) in zip(panels, places, strict=True):
        panel_data = data[(data["neuron"] == neuron) & (data["rule"] == rule)]
        style = styles[rule]._replace(dash="-", width=1.1)
        plot_curves(panel, panel_data, "iteration", "mse", "rule", {rule: style})
        for _, line in groups(panel_data[panel_data["status"] != "ok"], ["run"]):
            last = line[np.isfinite(line["mse"])].tail(1)
            panel.plot(last["iteration"], last["mse"], "x", ms=7, mew=1.6, clip_on=False, color=style.colour)
        if not (panel_data["source"] == "ours").any():
            panel.text(0.5, 0.5, "no run left a curve", ha="center", transform=panel.transAxes, color="0.4")
        panel.set_title(f"{CELLS[neuron]}, {rule}")
    scale_axis(panels[0].xaxis, data["iteration"], ratio=10)
    _finish_axes(panels, data)
    batches = _values(spec.training.batch for spec in specs)
    figure.supxlabel(scaled(f"training iteration ({batches} sequences each)", panels[0].xaxis), fontsize=9)
    title = f"Adding task, T = {_values(spec.dataset.options['steps'] for spec in specs)}: error against iterations"
    notes = [f"{_made(specs)} Thin: one of our runs. Cross: the run failed."]
    _finish(figure, title, notes, data, runs_of(results, SUITES[T], scale), {rule: styles[rule] for rule in rules})
    return Drawn(figure, data, title, notes)


@styled
def against_updates(results: Results, scale: str, T: int) -> Drawn | None:
    """Draw the error against updates of the weights: a panel per network, a line per rule, the replicates' mean.

    For the arguments see `against_iterations`.
    """
    data, specs = _data(results, scale, T)
    if data.empty:
        return None
    neurons = [neuron for neuron in CELLS if neuron in set(data.loc[data["source"] == "ours", "neuron"])]
    rules = sorted(set(data.loc[data["source"] == "ours", "rule"]), key=rule_rank)
    data = data[data["neuron"].isin(neurons) & data["rule"].isin(rules)]
    styles = _styles(results)
    figure, panels = grid(len(neurons), columns=2, sharex=True, sharey=True)
    drawn = []
    for panel, neuron in zip(panels, neurons, strict=True):
        panel_data = data[data["neuron"] == neuron]
        means = [_mean(panel_data[(panel_data["source"] == "ours") & (panel_data["rule"] == rule)]) for rule in rules]
        lines = pd.concat([panel_data[panel_data["source"] == "published"], *means], ignore_index=True)
        plot_curves(panel, lines, "updates", "mse", "rule", {rule: styles[rule]._replace(width=1.3) for rule in rules})
        drawn.append(lines)
        panel.set_title(CELLS[neuron])
    data = pd.concat(drawn, ignore_index=True)
    scale_axis(panels[0].xaxis, data["updates"], ratio=1)
    _finish_axes(panels, data)
    figure.supxlabel("updates of the weights, log scale", fontsize=9)
    title = f"Adding task, T = {_values(spec.dataset.options['steps'] for spec in specs)}: error against updates"
    notes = [f"{_made(specs)} Line: geometric mean of the replicates, while all are running."]
    _finish(figure, title, notes, data, runs_of(results, SUITES[T], scale), {rule: styles[rule] for rule in rules})
    return Drawn(figure, data, title, notes)


@styled
def bars(results: Results, scale: str) -> Drawn | None:
    """Draw the error of the last 100 iterations: a panel per length, bars per network and rule, and published values.

    Args:
        results: of any suites.
        scale: the scale of the runs to draw.
    """
    rows = []
    for suite in SUITES.values():
        data, steps = curves(results, suite, scale), runs_of(results, suite, scale)["steps"].max()
        for (neuron, rule, run), line in groups(data, ["neuron", "rule", "run"]) if len(data) else ():
            last = line[line["iteration"] > line["iteration"].max() - AVERAGED]
            row = {"T": steps, "neuron": neuron, "rule": rule, "run": run, "iteration": line["iteration"].max()}
            rows.append({**row, "mse": last["mse"].mean(), "published": np.nan, "spread": np.nan})
    if not rows:
        return None
    data = pd.DataFrame(rows)
    data = pd.concat([data, _published_bars(data)], ignore_index=True)
    lengths, rules = sorted(set(data["T"])), sorted(set(data["rule"]), key=rule_rank)
    styles = _styles(results)
    figure, panels = grid(len(lengths), columns=1, sharey=True)
    for panel, T in zip(panels, lengths, strict=True):
        panel_data = data[data["T"] == T]
        neurons = [neuron for neuron in CELLS if neuron in set(panel_data["neuron"])]
        for (neuron, rule), cell in groups(panel_data, ["neuron", "rule"]):
            x = neurons.index(neuron) + 0.85 * ((rules.index(rule) + 0.5) / len(rules) - 0.5)
            panel.bar(x, cell["mse"].mean(), width=0.8 / len(rules), color=styles[rule].colour, alpha=0.75)
            panel.plot([x] * len(cell), cell["mse"], ".", ms=3, color="0.15")
            known = cell.dropna(subset="published")
            panel.errorbar([x] * len(known), known["published"], known["spread"], fmt="_", ms=9, color="k", capsize=2)
        panel.axhline(TRIVIAL, color="0.45", linestyle=(0, (4, 3)), linewidth=1, zorder=1)
        panel.set_xticks(range(len(neurons)), [CELLS[neuron] for neuron in neurons])
        panel.set_title(f"T = {T:g}")
        panel.set(xlim=(-0.5, len(neurons) - 0.5), ylim=(0, HIGHEST))
    figure.supylabel("mean squared error", fontsize=9)
    title = "Adding task: error at the end of training"
    notes = [
        f"Scale {scale}. Bar: mean of the replicates (dots), validation split, mean of the last {AVERAGED} iterations "
        "of a run; runs differ in length, see the suites. Stroke with error bar: published mean and standard deviation "
        f"of the last {AVERAGED} iterations, of 10 000 or before NaN. Dashed: error of a constant prediction, "
        f"{TRIVIAL:.3f}. Panels end at {HIGHEST}."
    ]
    finish(figure, title, notes, {rule: styles[rule]._replace(dash="-") for rule in rules})
    return Drawn(figure, data, title, notes)


def _data(results: Results, scale: str, T: int) -> tuple[pd.DataFrame, list[Any]]:
    """Return our curves with the authors' if the runs have the length of the paper, and the specs of our runs."""
    suite = SUITES[T]
    data = curves(results, suite, scale)
    specs = [results.record(run).spec for run in runs_of(results, suite, scale)["id"]]
    if len(data) and {spec.dataset.options["steps"] for spec in specs} == {T}:
        last = data.groupby(["neuron", "rule"])["iteration"].max()
        theirs = published(T)
        ends = [last.get((neuron, rule), 0) for neuron, rule in zip(theirs["neuron"], theirs["rule"], strict=True)]
        data = pd.concat([theirs[theirs["iteration"] <= ends], data], ignore_index=True)
    return data, specs


def _styles(results: Results) -> dict[str, Style]:
    """Return the style of each rule, the same in the figures of the adding task and for any other suites beside it."""
    frame = results.frame
    return rule_styles(frame.loc[frame["suite"].isin(SUITES.values()), "rule"])


def _published_bars(ours: pd.DataFrame) -> pd.DataFrame:
    """Return the published values of the bars, for those cells that we ran."""
    from throughtime.reports.papers.paper import load_paper

    rows = []
    for target in load_paper("fptt").file.targets:
        cell = target.cell
        T = next((T for T, suite in SUITES.items() if cell is not None and cell.suite == suite), None)
        if T is None or cell is None or cell.scale != "paper":
            continue
        if ((ours["T"] == T) & (ours["neuron"] == cell.neuron) & (ours["rule"] == cell.rule)).any():
            row = {"T": T, "neuron": cell.neuron, "rule": cell.rule, "run": "published", "iteration": cell.iteration}
            rows.append({**row, "mse": np.nan, "published": target.published, "spread": target.spread})
    return pd.DataFrame(rows)


def _mean(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the geometric mean of replicates at the iterations that all of them reached."""
    if lines.empty:
        return lines
    lines = lines[np.isfinite(lines["mse"])]
    mean = (
        lines.assign(mse=np.log(lines["mse"]))
        .groupby("iteration", as_index=False)
        .agg({"source": "first", "neuron": "first", "rule": "first", "updates": "first", "mse": "mean", "run": "count"})
    )
    mean = mean[mean["run"] == lines["run"].nunique()]
    return mean.assign(mse=np.exp(mean["mse"]), run="mean of the replicates", status="ok")


def _finish_axes(panels: list[Axes], data: pd.DataFrame) -> None:
    for panel in panels:
        panel.axhline(TRIVIAL, color="0.45", linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    scale_axis(panels[0].yaxis, data.loc[np.isfinite(data["mse"]), "mse"], ratio=5)
    panels[0].figure.supylabel("mean squared error", fontsize=9)


def _made(specs: list[Any]) -> str:
    batch = _values(spec.training.batch for spec in specs)
    units = _values(spec.network.options["hidden"][0] for spec in specs)
    start = f"Suite {specs[0].suite}, scale {specs[0].scale}, {units} units, batch {batch}."
    return f"{start} Validation split, after each epoch. Dashed: error of a constant prediction, {TRIVIAL:.3f}."


def _finish(
    figure: Any, title: str, notes: list[str], data: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Style]
) -> None:
    """Add the notes on published curves and failed runs, and finish the figure."""
    theirs = set(data.loc[data["source"] == "published", "rule"])
    notes += [BEHIND] if theirs else []
    failed = runs[runs["status"] != "ok"]
    notes += [f"{run['label']}: {run['status']}, {run['reason']}." for _, run in failed.iterrows()]
    pale = {f"{rule}, published": style._replace(**PALE) for rule, style in styles.items() if rule in theirs}
    finish(figure, title, notes, {**styles, **pale})


def _values(values: Iterable[Any]) -> str:
    """Format the value that all runs share, or all values."""
    return " or ".join(map(str, dict.fromkeys(values)))
