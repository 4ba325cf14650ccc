"""Figures of the ablations: the regulariser over α, the number of parts K, the auxiliary loss, and the gates of LTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, styled
from throughtime.reports.figures import count_range, heading
from throughtime.reports.fptt.adding import TRIVIAL
from throughtime.reports.styles import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABLATIONS, GATES = "fptt-ablations", "fptt-gates"
FORMS = {
    "code": Style((0.0, 0.45, 0.7), "-"),
    "paper": Style((0.84, 0.37, 0.0), "--"),
    "none": Style((0.35, 0.35, 0.35), ":"),
}
"""Style of each form of the regulariser; `none` is truncated BPTT."""
PARTS, ALPHA = 10, 0.01
"""K of the runs over α, and α of the runs over K."""
TITLES = {"α": f"regulariser, K = {PARTS}", "K": f"number of parts, α = {ALPHA}", "auxiliary": "auxiliary loss"}
MEMBRANE = {"concatenated": "I and v", "current": "I", "state": "v", "none": "constant"}
"""What the membrane's time constant reads, by `gate_input`."""
ADAPTATION = {
    "off": "no adaptation",
    "gated": "I and b",
    "gated_by_current": "I",
    "gated_by_state": "b",
    "constant": "constant",
}
"""What the adaptation's time constant reads, by `adaptation`."""
ERROR = "Adding task: mean squared error on the test split after the last epoch."


@styled
def ablations(results: Results, scale: str) -> Drawn | None:
    """Draw the error against α and against K, by form of the regulariser, and the accuracy by auxiliary loss. None
    without a run that is ok.

    Args:
        results: of any suites.
        scale: the scale of the runs to draw.
    """
    runs = runs_of(results, ABLATIONS, scale)
    data = pd.DataFrame([row for _, run in runs[runs["status"] == "ok"].iterrows() for row in _points(results, run)])
    if data.empty:
        return None
    drawn = [name for name in TITLES if (data["panel"] == name).any()]
    figure, panels = grid(len(drawn), columns=3)
    for name, panel in zip(drawn, panels, strict=True):
        _draw_auxiliary(panel, data) if name == "auxiliary" else _draw_lines(panel, data[data["panel"] == name], name)
        panel.set_title(TITLES[name])
    n = data.groupby(["panel", "form", "x"], dropna=False)["run"].count()
    notes = [heading(ABLATIONS, scale, f"{count_range(n)} a point"), "Dot: a run."]
    if failed := int((runs["status"] != "ok").sum()):
        notes += [f"{failed} of {len(runs)} runs failed and are not drawn."]
    if drawn != ["auxiliary"]:
        notes += [f"{ERROR} Line: geometric mean. Thin, dashed: error of a constant prediction, {TRIVIAL:.3f}."]
        notes += ["Cross: W ← W̄ after each epoch."] if (data["form"] == "mean").any() else []
    if "auxiliary" in drawn:
        notes += ["Auxiliary loss: rows of MNIST, an update at each; accuracy on the test split after the last epoch."]
    title = "FPTT without parts of it"
    finish(figure, title, notes, {f"regulariser {form}": FORMS[form] for form in FORMS if form in set(data["form"])})
    return Drawn(figure, data, title, notes)


def _points(results: Results, run: pd.Series) -> list[dict[str, Any]]:
    """Return the rows of a run: panel, form, x (NaN for the level without regulariser) and value. The run with `PARTS`
    parts and α = `ALPHA` is in the panels of α and of K."""
    spec = results.record(run["id"]).spec
    options = spec.rule.options
    row = {"run": run["label"], "form": options["form"]}
    if run["metric"] == "accuracy":
        return [{**row, "panel": "auxiliary", "x": float(options["auxiliary"] != "off"), "value": run["accuracy"]}]
    row["value"] = run["mse"]
    α, parts = options["alpha"], float(options["parts"] or spec.dataset.options["steps"])
    if options["form"] == "none":
        return [{**row, "panel": "α", "x": np.nan}]
    if options["adopt_mean"] is not False:
        return [{**row, "form": "mean", "panel": "α", "x": α}]
    places = [("α", α)] * (parts == PARTS) + [("K", parts)] * (options["form"] == "code" and α == ALPHA)
    return [{**row, "panel": panel, "x": x} for panel, x in places]


def _draw_lines(panel: Axes, data: pd.DataFrame, name: str) -> None:
    for (form,), form_data in groups(data, ["form"]):
        if form == "none":
            panel.axhline(_geometric(form_data["value"]), color=FORMS[form].colour, linestyle=FORMS[form].dash)
        elif form == "mean":
            panel.plot(form_data["x"], form_data["value"], "x", color=FORMS["code"].colour, ms=6)
        else:
            mean = form_data.groupby("x")["value"].agg(_geometric)
            panel.plot(mean.index, mean, color=FORMS[form].colour, linestyle=FORMS[form].dash)
            panel.plot(form_data["x"], form_data["value"], ".", color=FORMS[form].colour, ms=5)
    panel.axhline(TRIVIAL, color="0.45", linestyle=(0, (4, 3)), linewidth=0.8, zorder=1)
    scale_axis(panel.xaxis, data["x"].dropna(), ratio=5)
    scale_axis(panel.yaxis, data["value"], ratio=5)
    panel.set(xlabel=name, ylabel="mean squared error")


def _draw_auxiliary(panel: Axes, data: pd.DataFrame) -> None:
    panel_data = data[data["panel"] == "auxiliary"]
    panel.plot(panel_data["x"], 100 * panel_data["value"], ".", color=FORMS["code"].colour, ms=5)
    mean = 100 * panel_data.groupby("x")["value"].mean()
    panel.plot(mean.index, mean, "_", color="0.2", ms=18)
    panel.set_xticks([0, 1], ["without", "with"])
    panel.set(xlim=(-0.6, 1.6), ylabel="accuracy (%)")


@styled
def gates(results: Results, scale: str) -> Drawn | None:
    """Draw the error for each pair of what the two time constants of LTC read, a panel per length. None without a run
    that is ok; for the arguments see `ablations`."""
    runs = runs_of(results, GATES, scale)
    rows = []
    for _, run in runs.iterrows():
        options = results.record(run["id"]).spec.neuron.options
        reads = {"membrane": MEMBRANE[options["gate_input"]], "adaptation": ADAPTATION[options["adaptation"]]}
        rows.append({"dataset": run["dataset"], "steps": run["steps"], **reads, "status": run["status"]})
        rows[-1] |= {"run": run["label"], "mse": run.get("mse", np.nan)}
    data = pd.DataFrame(rows)
    if data.empty or not (data["status"] == "ok").any():
        return None
    figure, panels = grid(data["dataset"].nunique(), columns=1)
    for panel, ((_,), panel_data) in zip(panels, groups(data, ["dataset"]), strict=True):
        _draw_gates(panel, panel_data)
        panel.set_title(f"T = {panel_data['steps'].iloc[0]:g}")
    n = data[data["status"] == "ok"].groupby(["dataset", "membrane", "adaptation"]).size()
    title = "What the time constants of LTC read"
    notes = [
        heading(GATES, scale, f"{count_range(n)} a cell"),
        f"{ERROR} Geometric mean of the runs that are ok; in brackets the ratio of the largest error to the smallest. "
        f"Dark: small errors; white: {TRIVIAL:.3f}, the error of a constant prediction, or more.",
        "I: current; v: membrane; b: adaptation; constant: trained, one for each neuron.",
    ]
    finish(figure, title, notes, {})
    return Drawn(figure, data, title, notes)


def _draw_gates(panel: Axes, data: pd.DataFrame) -> None:
    levels = np.full((len(MEMBRANE), len(ADAPTATION)), np.nan)
    for i, membrane in enumerate(MEMBRANE.values()):
        for j, adaptation in enumerate(ADAPTATION.values()):
            cell = data[(data["membrane"] == membrane) & (data["adaptation"] == adaptation)]
            values = cell.loc[cell["status"] == "ok", "mse"]
            if len(values):
                levels[i, j] = _geometric(values)
                factor = values.max() / values.min()
                spread = f" ({factor:.2g})" if factor < 10 else f" ({factor:.0f})"
                text = f"{levels[i, j]:.2g}{spread if len(values) > 1 else ''}"
            else:
                text = "not run" if cell.empty else cell["status"].iloc[0]
            dark = levels[i, j] < TRIVIAL / 40
            panel.text(j, i, text, ha="center", va="center", fontsize=8, color="w" if dark else "0.15")
    panel.imshow(np.log10(levels), cmap="Blues_r", vmin=-4, vmax=np.log10(TRIVIAL), aspect="auto")
    panel.set_xticks(range(len(ADAPTATION)), [*ADAPTATION.values()])
    panel.set_yticks(range(len(MEMBRANE)), [*MEMBRANE.values()])
    panel.set(xlabel="adaptation reads", ylabel="membrane reads")
    panel.grid(False)


def _geometric(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))
