"""Figure of the Yin-Yang data set: accuracy against the epoch of four rules, before the published curves."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import runs_of
from throughtime.reports.drawing import Drawn, finish, grid, plot_curves, styled
from throughtime.reports.styles import PALE, Style, rule_styles
from throughtime.reports.yinyang.claims import PUBLISHED, eventprop

EVENTPROP = "EventProp (published)"


@styled
def draw(results: Results, scale: str) -> Drawn:
    """Draw the suite `yinyang` before the published curves of EventProp and the levels of the source."""
    rows = [
        {"rule": run["rule"], "run": run["replicate"], "epoch": row["epoch"], "accuracy": 100 * row["test.accuracy"]}
        for _, run in runs_of(results, "yinyang", scale).iterrows()
        for row in results.curve(run["id"])
        if "test.accuracy" in row
    ]
    data = pd.concat([eventprop().assign(rule=EVENTPROP), pd.DataFrame(rows)], ignore_index=True)
    ours = [rule for rule in data["rule"].unique() if rule != EVENTPROP]
    styles = {rule: style._replace(width=1.1) for rule, style in rule_styles(ours).items() if rule in ours}
    styles[EVENTPROP] = Style((0.5, 0.5, 0.5), **PALE)._replace(width=1.6)
    figure, (panel,) = grid(1, columns=1)
    plot_curves(panel, data, "epoch", "accuracy", "rule", styles)
    for network, level in PUBLISHED.items():
        panel.axhline(level, color="0.45", linestyle=(0, (4, 3)), linewidth=0.8, zorder=1)
        panel.annotate(network, (1, level), fontsize=8, color="0.35", va="bottom")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.set_xlabel("epoch")
    panel.set_ylabel("accuracy (%)")
    title = "Yin-Yang data set"
    notes = [
        f"Test split; suite yinyang, scale {scale}, a line for each run. Pale: ten runs of Wunderlich and Pehle 2021.",
        "Dashed: networks without spikes of Kriener et al. 2022, with a hidden layer, a frozen one, and none.",
    ]
    finish(figure, title, notes, styles)
    return Drawn(figure, data, title, notes)


FIGURES = {"curves": draw}
