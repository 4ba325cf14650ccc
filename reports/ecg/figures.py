"""Figure of the electrocardiograms: test accuracy against the epoch, in front of the published curves."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import runs_of
from throughtime.reports.drawing import Drawn, finish, grid, plot_curves, scale_axis, scaled, styled
from throughtime.reports.papers.published import published_table
from throughtime.reports.styles import DASHES, Style, rule_styles

PUBLISHED = ("brf", "rf", "alif")
COMPARED = ("brf", "lif-0.1", "lif", "alif-0.1", "alif")
PANELS = (
    ("resonators and ALIF", PUBLISHED, "ecg_rnn", ("published", "ours")),
    ("LIF and ALIF", COMPARED, "ecg_rnn", ("ours",)),
    ("spiking readout of 2021", COMPARED, "ecg_spiking_readout", ("ours",)),
)
"""Title, neurons, network and sources of the curves of each panel."""


@styled
def draw(results: Results, scale: str) -> Drawn | None:
    """Draw resonators and ALIF over their published curves, LIF and ALIF with either readout; None without a run."""
    runs = runs_of(results, "ecg", scale)
    ours = [_curve(run, results.curve(run["id"])) for _, run in runs.iterrows()]
    if not any(map(len, ours)):
        return None
    theirs = [published()] if scale != "tiny" else []  # tiny has fewer neurons and shorter sequences
    data = pd.concat([*theirs, *ours], ignore_index=True)
    styles = _styles()
    figure, panels = grid(len(PANELS), columns=3, sharey=True)
    for panel, (title, neurons, network, sources) in zip(panels, PANELS, strict=True):
        panel_data = data[data["neuron"].isin(neurons) & (data["network"] == network) & data["source"].isin(sources)]
        panel.set_title(title)
        plot_curves(panel, panel_data, "epoch", "accuracy", "neuron", styles)
        scale_axis(panel.xaxis, panel_data["epoch"], ratio=5)
        panel.set_xlabel(scaled("epoch", panel.xaxis))
    panels[0].set_ylabel("test accuracy (%)")
    title = "Electrocardiograms (QTDB) under BPTT"
    notes = [
        f"Suite ecg, scale {scale}: a line for each of {len(runs)} runs."
        + (" Pale: the five published runs of each neuron." if theirs else ""),
        "LIF: β = 0, ALIF: β = 1.8; b_0 = 0.01, or 0.1 by the label. Steps without a label are class 0.",
    ]
    finish(figure, title, notes, {neuron: styles[neuron] for neuron in dict.fromkeys((*PUBLISHED, *COMPARED))})
    return Drawn(figure, data, title, notes)


def published() -> pd.DataFrame:
    """Return the published curves after the first epoch on, in the columns of `_curve`."""
    table = published_table("ecg_curves")
    table = table[table["epoch"] > 0].rename(columns={"test_acc": "accuracy"})
    return table[["neuron", "run", "epoch", "accuracy"]].assign(network="ecg_rnn", source="published")


def _curve(run: pd.Series, rows: list[dict]) -> pd.DataFrame:
    trained = [row for row in rows if row["epoch"] and row.get("test.accuracy") is not None]
    return pd.DataFrame(
        {
            "neuron": run["neuron"],
            "network": run["network"],
            "run": run["replicate"],
            "epoch": [row["epoch"] for row in trained],
            "accuracy": [100 * row["test.accuracy"] for row in trained],
            "source": "ours",
        }
    )


def _styles() -> dict[str, Style]:
    """Return a colour for each kind of neuron, and a dash for each threshold."""
    colours = rule_styles((*PUBLISHED, "lif"))
    dashed = {f"{kind}-0.1": colours[kind]._replace(dash=DASHES[1]) for kind in ("lif", "alif")}
    return {name: style._replace(width=1.2) for name, style in {**colours, **dashed}.items()}


FIGURES = {"curves": draw}
