"""Figure of influence balancing: loss against updates for rules and windows, in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, styled
from throughtime.reports.influence_balancing.descent import RATE, UPDATES, RuleName, descend, losses
from throughtime.reports.influence_balancing.experiment import RATE_OF_UORO, descend_uoro, drawn_signs
from throughtime.reports.styles import rule_styles

LINES: dict[str, tuple[RuleName, int]] = {
    "rtrl, K = 1": ("rtrl", 1),
    "tbptt, K = 1": ("tbptt", 1),
    "tbptt, K = 10": ("tbptt", 10),
    "tbptt, K = 40": ("tbptt", 40),
    "tbptt, K = 41": ("tbptt", 41),
    "tbptt, K = 100": ("tbptt", 100),
    "fptt, K = 10": ("fptt", 10),
    "fptt, K = 100": ("fptt", 100),
}
UORO = "uoro, K = 1"


@styled
def draw(results: Results, scale: str) -> Drawn | None:
    """Draw the loss after 500 steps with the θ of each update; the results are not needed."""
    parts = []
    for label, (rule, K) in LINES.items():
        path = descend(K, rule)
        parts.append(pd.DataFrame({"line": label, "update": np.arange(len(path)), "loss": losses(path)}))
    path = descend_uoro(drawn_signs(0))
    parts.append(pd.DataFrame({"line": UORO, "update": np.arange(len(path)), "loss": losses(path)}))
    data = pd.concat(parts, ignore_index=True)
    data = data[(data["loss"] < 1e6) & (data["update"] % 10 == 0)]
    figure, (panel,) = grid(1, columns=1)
    labels = (*LINES, UORO)
    styles = rule_styles(labels)
    for label in labels:
        line = data[data["line"] == label]
        panel.plot(line["update"], line["loss"], color=styles[label].colour, linestyle=styles[label].dash, label=label)
    panel.set(xlabel="update", ylabel="loss after 500 steps", xlim=(0, UPDATES))
    scale_axis(panel.yaxis, data["loss"], ratio=5)
    panel.set_ylim(1e-6, 1e4)
    title = "Influence balancing: loss under rules and windows"
    notes = [
        f"Gradient descent with step size {RATE:g}, in closed form; K steps between updates. FPTT: α = β = 1/2. UORO: "
        f"one run, step size {RATE_OF_UORO:g}."
    ]
    finish(figure, title, notes, {label: styles[label] for label in labels})
    return Drawn(figure, data, title, notes)


FIGURES = {"loss": draw}
