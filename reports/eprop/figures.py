"""Figure of the two tasks: error against training iteration under BPTT and e-prop."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import rule_rank
from throughtime.reports.drawing import Drawn, finish, grid, plot_curves, scale_axis, styled
from throughtime.reports.eprop.curves import EVIDENCE, LARGEST_ERROR, PATTERN, curves
from throughtime.reports.styles import rule_styles

TITLES = {EVIDENCE: "evidence accumulation: wrong decisions", PATTERN: "pattern generation: mean squared error"}


@styled
def draw(results: Results, scale: str) -> Drawn | None:
    """Draw error against iteration: a panel per task with runs, a line per run. None without a curve.

    Args:
        results: of any suites; only those of this paper are drawn.
        scale: the scale of the runs to draw.
    """
    task_curves = {suite: curves(results, suite, scale) for suite in TITLES}
    task_curves = {suite: data for suite, data in task_curves.items() if len(data)}
    if not task_curves:
        return None
    data = pd.concat([data.assign(task=suite) for suite, data in task_curves.items()], ignore_index=True)
    rules = sorted(set(data["rule"]), key=rule_rank)
    styles = {rule: style._replace(width=1.1) for rule, style in rule_styles(rules).items()}
    figure, panels = grid(len(task_curves), columns=2)
    for panel, (suite, lines) in zip(panels, task_curves.items(), strict=True):
        plot_curves(panel, lines, "iteration", "value", "rule", styles)
        if suite == EVIDENCE:
            panel.axhline(LARGEST_ERROR, color="0.45", linestyle=(0, (4, 3)), linewidth=1, zorder=1)
            panel.set_ylim(bottom=0)
        else:
            scale_axis(panel.yaxis, lines["value"], ratio=5)
        panel.set_title(TITLES[suite])
        panel.set_xlabel("training iteration", fontsize=9)
    title = "Two tasks under BPTT and e-prop"
    notes = [f"Scale {scale}. A line is a run, on the validation split."]
    if EVIDENCE in task_curves:
        notes.append(f"Training on evidence accumulation stops at an error of {LARGEST_ERROR} (dashed).")
    finish(figure, title, notes, {rule: styles[rule] for rule in rules})
    return Drawn(figure, data, title, notes)


FIGURES = {"curves": draw}
