"""Figure of the LTC neuron: its membrane and its firing rates beside those of a neuron with a fixed time constant."""

from __future__ import annotations

from typing import get_args

import pandas as pd
import torch

from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn, finish, grid, styled
from throughtime.reports.fptt.ltc_neuron import LABELS, SAMPLES, SIZES, Kind, rates, setting, trace
from throughtime.reports.styles import Style

STYLES: dict[Kind, Style] = {"ltc": Style((0.0, 0.45, 0.7), "-", 1.3), "fixed": Style((0.84, 0.37, 0.0), "--", 1.3)}
TITLES: dict[Kind, str] = {"ltc": "LTC", "fixed": "fixed τ (a = ½)"}


@styled
def ltc_neuron(results: Results, scale: str) -> Drawn | None:
    """Draw membrane, update rate and firing rates; the results are not needed, and the figure takes seconds."""
    figure, panels = grid(6, columns=3)
    steps = torch.zeros(500)
    steps[100:200], steps[300:400] = 1.0, 1.1
    noise = torch.rand(500, generator=torch.Generator().manual_seed(0)) - 0.5
    noisy = 1 + torch.cat((0.5 * noise[:200], 0.2 * noise[200:350], 0.5 * noise[350:]))
    noisy[:50] = 0
    for panel, title, x in zip(panels, ("input 1.0, then 1.1", "noisy input"), (steps, noisy), strict=False):
        panel.plot(x, color="0.7", linewidth=0.8)
        for kind, style in STYLES.items():
            panel.plot(trace(kind, x).v, color=style.colour, linewidth=0.8)
        panel.set(title=f"membrane, {title}", xlabel="step")
    a = trace("ltc", steps).a
    panels[2].plot(a, color=STYLES["ltc"].colour, linewidth=0.8)
    panels[2].axhline(0.5, color=STYLES["fixed"].colour, linestyle="--", linewidth=1)
    panels[2].set(title="update rate a, input 1.0, then 1.1", xlabel="step")
    data = _rates()
    for panel, sweep in zip(panels[3:], SIZES, strict=True):
        for kind, style in STYLES.items():
            line = data[(data["sweep"] == sweep) & (data["kind"] == kind)]
            panel.plot(line["setting"], line["rate"], color=style.colour, linestyle=style.dash, linewidth=style.width)
            known = line.dropna(subset="published")
            panel.plot(known["setting"], known["published"], "_", color="k", ms=10, mew=2)
        panel.set(title="firing rate", xlabel=LABELS[sweep])
    title = "LTC neuron beside a neuron with a fixed time constant"
    notes = [
        "Two units with all weights 1 read one input (grey); threshold 1, reset to 0; exact, without runs. Membranes "
        f"and update rate of one unit. Firing rates: means of {SAMPLES} samples; black strokes: published, one sample."
    ]
    finish(figure, title, notes, {TITLES[kind]: style for kind, style in STYLES.items()})
    return Drawn(figure, data, title, notes)


def _rates() -> pd.DataFrame:
    """Return the rates of all settings, with the published ones; their targets name the setting."""
    from throughtime.reports.papers.paper import load_paper

    published = {target.exact: target.published for target in load_paper("fptt").file.targets}
    kinds: tuple[Kind, ...] = get_args(Kind)
    rows = [
        {"kind": kind, "sweep": sweep, "setting": setting(sweep, s), "rate": float(mean)}
        | {"published": published.get(f"{kind}_{sweep}_{s}")}
        for kind in kinds
        for sweep in SIZES
        for s, mean in enumerate(rates(kind, sweep).mean(1))
    ]
    return pd.DataFrame(rows).astype({"published": float})
