"""Figure of the adding task: the runs of the suite `fptt`, in front of the curves published by the authors."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.records.store import validation_metric
from throughtime.reports.cells import groups, rule_rank, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, rule_styles, scale_axis, styled

PUBLISHED = {
    "snn_fptt_mem_200": "fptt-authors",
    "snn_v2_fptt_mem_200": "fptt-authors",
    "snn_bptt_mem_200": "bptt",
}
"""Published LTC curves, and the rule of the suite that each belongs to."""
PUBLISHED_STEPS = 200
TRIVIAL = 1 / 6
"""Error of a constant answer, the mean: the variance of a sum of two uniform numbers."""


@styled
def draw(results: Results, scale: str) -> Drawn | None:
    """Draw mean squared error against training iteration: a panel per rule, a line per run. None without a curve.

    Args:
        results: of any suites; only the runs of `fptt` are drawn.
        scale: the scale of the runs to draw.
    """
    runs = runs_of(results, "fptt", scale)
    curves = [_curve(run, results.curve(run["id"])) for _, run in runs.iterrows()]
    if not any(map(len, curves)):
        return None
    data = pd.concat([curve for curve in curves if len(curve)], ignore_index=True)
    specs = [results.record(run).spec for run in runs["id"]]
    steps = {spec.dataset.options.get("steps") for spec in specs}
    rules = sorted(set(runs["rule"]), key=rule_rank)
    if steps == {PUBLISHED_STEPS}:
        published = _published(rules, int(data["iteration"].max()))
        data = pd.concat([*published, data], ignore_index=True)

    styles = rule_styles(results.frame["rule"])
    pale = {rule: styles[rule]._replace(dash="-", width=3.4, alpha=0.3) for rule in rules}
    figure, panels = grid(len(rules), columns=2, sharex=True, sharey=True)
    for panel, rule in zip(panels, rules, strict=True):
        here = data[data["rule"] == rule]
        for (source, _, status), line in groups(here, ["source", "run", "status"]):
            style = pale[rule] if source == "published" else styles[rule]._replace(dash="-", width=1.1)
            drawn: dict[str, Any] = {"color": style.colour, "alpha": style.alpha}
            panel.plot(line["iteration"], line["mse"], linestyle=style.dash, linewidth=style.width, **drawn)
            if status != "ok":
                last = line[np.isfinite(line["mse"])].tail(1)
                panel.plot(last["iteration"], last["mse"], "x", ms=7, mew=1.6, clip_on=False, **drawn)
        if here.empty:
            panel.text(0.5, 0.5, "no run left a curve", ha="center", transform=panel.transAxes, color="0.4")
        panel.axhline(TRIVIAL, color="0.45", linestyle=(0, (4, 3)), linewidth=1, zorder=1)
        panel.set_title(rule)
        panel.label_outer()
    panels[0].set_xlim(0, data["iteration"].max())
    scale_axis(panels[0].yaxis, data.loc[np.isfinite(data["mse"]), "mse"], ratio=5)
    batch = _values(spec.training.batch for spec in specs)
    figure.supxlabel(f"training iteration ({batch} sequences each)", fontsize=9)
    figure.supylabel("mean squared error", fontsize=9)

    behind = [rule for rule in rules if ((data["source"] == "published") & (data["rule"] == rule)).any()]
    failed = runs[runs["status"] != "ok"]
    notes = [
        f"Suite fptt, scale {scale}, batch {batch}. Thin: one of our runs, validation split, after each epoch"
        + (", ending in a cross if it failed. " if len(failed) else ". ")
        + f"Dashed: the mean as a constant answer, {TRIVIAL:.3f}.",
    ]
    if behind:
        notes.append("Pale: the authors' own curves (FPTT twice, BPTT once), fresh sequences, means of 10 iterations.")
    notes += [f"{run['label']}: {run['status']}, {run['reason']}." for _, run in failed.iterrows()]
    units = _values(spec.network.options.get("hidden", ["?"])[0] for spec in specs)
    title = f"Adding task, T = {_values(steps)}: {units} {_values(spec.neuron.label for spec in specs)} neurons"
    legend = {rule: styles[rule]._replace(dash="-") for rule in rules}
    finish(figure, title, notes, {**legend, **{f"{rule}, published": pale[rule] for rule in behind}})
    return Drawn(figure, data, title, notes)


def _values(values: Iterable[Any]) -> str:
    """Format the value that all runs share, or all values."""
    return " or ".join(map(str, dict.fromkeys(values)))


def _curve(run: pd.Series, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": "ours",
            "rule": run["rule"],
            "run": run["label"],
            "status": run["status"],
            "iteration": [int(row["iteration"]) for row in rows],
            "mse": pd.Series([validation_metric(row, "mse") for row in rows], dtype=float),
        }
    )


def _published(rules: list[str], last: int) -> list[pd.DataFrame]:
    """Return the published curves of these rules, up to an iteration, in the columns of `_curve`."""
    with resources.files("throughtime.published").joinpath("adding_200.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    table = table[table["iteration"] <= last]
    named = {"source": "published", "status": "ok", "iteration": table["iteration"]}
    return [
        pd.DataFrame({**named, "rule": rule, "run": name, "mse": table[name]})
        for name, rule in PUBLISHED.items()
        if rule in rules and len(table)
    ]
