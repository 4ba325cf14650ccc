"""Figure of the adding task without spikes: error and firing rate of networks that spike and of those that cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.records.store import validation_metric
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, styled
from throughtime.reports.fptt.adding import TRIVIAL
from throughtime.reports.fptt.evidence import ended_runs
from throughtime.reports.fptt.silent import UNDER_BPTT, WINDOWS, Twins
from throughtime.reports.styles import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {"spiking": Style((0.84, 0.37, 0.0), "-", 0.8), "silent": Style((0.0, 0.45, 0.7), "-", 0.8)}
TITLES = {"none": "windows, released neuron", "bptt": "BPTT, paper's neuron"}


@styled
def silent(results: Results, scale: str) -> Drawn | None:
    """Draw the error over the firing rate against iterations: a column per pair of twins, a line per run."""
    runs = results.select(scale=scale)
    data = pd.DataFrame(row for pair in (*WINDOWS, *UNDER_BPTT) for row in _rows(runs, pair))
    if data.empty or set(data["network"]) != set(STYLES):
        return None
    columns = list(dict.fromkeys(data["column"]))
    figure, panels = grid(2 * len(columns), columns=len(columns), sharex="col", sharey="row")
    for number, column in enumerate(columns):
        lines = data[data["column"] == column]
        errors, rates = panels[number], panels[number + len(columns)]
        _plot(errors, lines, "mse")
        _plot(rates, lines, "firing_rate")
        errors.axhline(TRIVIAL, color="0.45", linestyle=(0, (4, 3)), linewidth=1, zorder=1)
        errors.set_title(column)
        rates.set_xlabel("training iteration")
    scale_axis(panels[0].yaxis, data.loc[np.isfinite(data["mse"]), "mse"], ratio=5)
    panels[0].set_ylabel("mean squared error")
    panels[len(columns)].set_ylabel("spikes a neuron and step")
    title = "Adding task with spikes and without"
    notes = [
        f"Scale {scale}, 128 units, batch 128; suites fptt-silent, fptt-alpha (none) and fptt-bptt. Validation split, "
        "after each epoch; a line: a run. Silent: the threshold is 10⁶, which no membrane reaches; initial weights and "
        f"data are those of the spiking run. Straight lines of BPTT: the gradient overflows, and clipping makes it 0. "
        f"Dashed: error of a constant prediction, {TRIVIAL:.3f}."
    ]
    finish(figure, title, notes, STYLES)
    return Drawn(figure, data, title, notes)


def _rows(results: Results, pair: Twins) -> Iterator[dict[str, object]]:
    """Yield a row per epoch of the runs of a pair."""
    for network, cell in zip(("silent", "spiking"), pair, strict=True):
        runs = ended_runs(results, cell)
        for run, label in zip(runs["id"], runs["label"], strict=True):
            for row in results.curve(run):
                mse, rate = validation_metric(row, "mse"), row["firing_rate"]
                yield {
                    "column": f"{TITLES[cell.rule]}, T = {cell.T}",
                    "network": network,
                    "run": label,
                    "iteration": row["iteration"],
                    "mse": np.nan if mse is None else mse,
                    "firing_rate": rate,
                }


def _plot(panel: Axes, lines: pd.DataFrame, column: str) -> None:
    for network, style in STYLES.items():
        for _, line in lines[lines["network"] == network].groupby("run"):
            panel.plot(line["iteration"], line[column], color=style.colour, linestyle=style.dash, linewidth=style.width)
