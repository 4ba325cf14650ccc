"""Figure of OTPE: the cosine of the rules' gradients with BPTT's, by layer and depth."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn, finish, grid, plot_curves, styled
from throughtime.reports.otpe.claims import CODES, DEPTHS, SEEDS, cosines
from throughtime.reports.otpe.experiment import RULES, UPDATES, WIDTH
from throughtime.reports.styles import rule_styles

TITLES = {"time": "times of spikes", "rate": "numbers of spikes"}


@styled
def draw(results: Results, scale: str) -> Drawn:
    """Draw the cosine of each layer's gradient against the layer: a column for each code, a row for each depth."""
    rows = [
        {"code": code, "depth": depth, "rule": rule, "run": seed, "layer": layer, "cosine": cosine}
        for depth in DEPTHS
        for code in CODES
        for rule in RULES
        for seed in SEEDS
        for layer, cosine in enumerate(cosines(rule, code, depth, seed), 1)
    ]
    data = pd.DataFrame(rows)
    by_name = rule_styles(RULES.values())
    styles = {rule: by_name[name]._replace(width=1.2) for rule, name in RULES.items()}
    figure, panels = grid(len(CODES) * len(DEPTHS), columns=len(CODES), sharey=True)
    cells = [(depth, code) for depth in DEPTHS for code in CODES]
    for panel, (depth, code) in zip(panels, cells, strict=True):
        panel_data = data[(data["code"] == code) & (data["depth"] == depth)]
        plot_curves(panel, panel_data, "layer", "cosine", "rule", styles)
        panel.set_xticks(range(1, depth + 1))
        panel.set_title(f"{TITLES[code]}, {depth} layers")
    figure.supxlabel("layer", fontsize=9)
    figure.supylabel("cosine with BPTT's gradient", fontsize=9)
    title = "Direction of the gradient by layer"
    notes = [
        f"Randman, {WIDTH} LIF neurons a layer, after {UPDATES} updates by BPTT; a line for each of {len(SEEDS)} seeds."
    ]
    finish(figure, title, notes, styles)
    return Drawn(figure, data, title, notes)


FIGURES = {"direction": draw}
