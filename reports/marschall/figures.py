"""Figures of Marschall, Cho and Savin 2020: learning curves, alignment matrix, alignment against final loss."""

from __future__ import annotations

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups, rule_rank, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, plot_curves, scale_axis, styled
from throughtime.reports.figures import used_styles
from throughtime.reports.marschall import exact
from throughtime.reports.marschall.experiment import ALONE, FORGOTTEN, LEADER, REPLICATES, STEPS, along_rtrl
from throughtime.reports.styles import rule_styles

PANELS = {"add": "Add, α = 1", "add-half": "Add, α = 1/2", "mimic": "Mimic, α = 1", "mimic-half": "Mimic, α = 1/2"}
ALIGNED = ("add", "add-half")
"""Tasks whose alignment is shown."""
IMMEDIATE = "UORO and KF-RTRL take the immediate term of a step exactly; the released ones approximate it, too."
"""Note on cosines."""
TOP = {"add": 0.7, "add-half": 0.7, "mimic": 0.15, "mimic-half": 0.05}
"""End of the axis of losses, above the level without any dependency (0.66) and first losses of the readout alone."""
LEVELS = (exact.without_dependencies, exact.with_the_longer, exact.with_the_shorter, exact.with_both)


@styled
def learning_curves(results: Results, scale: str) -> Drawn | None:
    """Draw the loss against the step: a panel for each task, a line for each run. None without a curve."""
    runs = runs_of(results, "marschall", scale)
    rows = [
        {"dataset": run["dataset"], "rule": run["rule"], "run": run["label"], "status": run["status"]}
        | {"step": row["updates"], "loss": row["train_loss"]}
        for _, run in runs.iterrows()
        for row in results.curve(run["id"])
    ]
    if not rows:
        return None
    data = pd.DataFrame(rows)
    # The authors' loss of Mimic is half the mean squared error.
    data["loss"] *= np.where(data["dataset"].str.startswith("mimic"), 0.5, 1.0)
    data = data.sort_values("dataset", key=lambda names: names.map([*PANELS].index), kind="stable")
    styles = {rule: style._replace(width=1) for rule, style in rule_styles(data["rule"]).items()}
    figure, panels = grid(data["dataset"].nunique(), columns=2, sharex=True)
    for panel, ((dataset,), panel_data) in zip(panels, groups(data, ["dataset"]), strict=True):
        plot_curves(panel, panel_data.assign(thousand=panel_data["step"] / 1000), "thousand", "loss", "rule", styles)
        if dataset.startswith("add"):
            for level in LEVELS:
                panel.axhline(level(), color="0.45", linestyle=(0, (4, 3)), linewidth=0.8, zorder=1)
            panel.set_ylim(0.44, TOP[dataset])
        else:
            scale_axis(panel.yaxis, panel_data["loss"].clip(upper=TOP[dataset]), 1)
            panel.set_ylim(0.9 * panel_data["loss"].min(), TOP[dataset])
        panel.set_title(PANELS[dataset])
    figure.supxlabel("thousand steps", fontsize=9)
    figure.supylabel("loss", fontsize=9)
    failed = runs[runs["status"] != "ok"]
    title = "Online rules with an update at every step"
    notes = [
        f"Suite marschall, scale {scale}: mean loss over each epoch. Dashed: least cross-entropy without dependencies, "
        "with the longer lag alone, the shorter alone, and both.",
        *_above(data),
        *(f"{run['label']}: {run['status']}, {run['reason']}." for _, run in failed.iterrows()),
    ]
    finish(figure, title, notes, used_styles(styles, data["rule"]))
    return Drawn(figure, data, title, notes)


def _above(data: pd.DataFrame) -> list[str]:
    """Return a note on the runs whose loss leaves its axis; none if there is none."""
    outside = data[data["loss"] > data["dataset"].map(TOP)]
    if outside.empty:
        return []
    counts = ", ".join(f"{n} of {rule}" for rule, n in outside.groupby("rule", sort=False)["run"].nunique().items())
    return [f"Runs with losses outside the axis, up to {outside['loss'].max():.2g}: {counts}."]


def _cosines(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the cosines of the tasks in `ALIGNED` that have runs, with the column `dataset`; empty if none has."""
    parts = [along_rtrl(dataset).assign(dataset=dataset) for dataset in ALIGNED if dataset in set(runs["dataset"])]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


@styled
def alignment(results: Results, scale: str) -> Drawn | None:
    """Draw the matrix of mean cosines between the rules' gradients at the same step, for Add. None without runs."""
    data = _cosines(runs_of(results, "marschall", scale))
    if data.empty:
        return None
    figure, panels = grid(data["dataset"].nunique(), columns=2)
    for panel, ((dataset,), panel_data) in zip(panels, groups(data, ["dataset"]), strict=True):
        matrix = panel_data.pivot_table(index="rule", columns="other", values="mean")  # the mean of the replicates
        rules = sorted(matrix.index, key=rule_rank)
        values = matrix.loc[rules, rules].to_numpy()
        panel.imshow(values, vmin=-1, vmax=1, cmap="RdBu_r")
        panel.set_xticks(range(len(rules)), rules, rotation=90)
        panel.set_yticks(range(len(rules)), rules)
        panel.grid(visible=False)
        for (row, column), value in np.ndenumerate(values):
            dark = abs(value) > 0.6
            panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color="w" if dark else "k")
        panel.set_title(PANELS[dataset])
    title = "Alignment of the rules' gradients"
    notes = [
        "Cosine of two rules' gradients of the recurrent layer at the same step on the same network, which RTRL "
        f"trains: mean over {STEPS - FORGOTTEN} steps, after {ALONE + FORGOTTEN}, and over {REPLICATES} replicates.",
        IMMEDIATE,
    ]
    finish(figure, title, notes, {})
    return Drawn(figure, data, title, notes)


@styled
def cosine_against_loss(results: Results, scale: str) -> Drawn | None:
    """Draw the final loss of each run against the mean cosine with RTRL's gradient of its rule and replicate, for Add.
    None without runs."""
    runs = runs_of(results, "marschall", scale)
    runs = runs[(runs["status"] == "ok") & (runs["network"] == "online_rnn")]
    cosines = _cosines(runs)
    if cosines.empty:
        return None
    cosines = cosines[cosines["other"] == LEADER].rename(columns={"mean": "cosine"})
    runs = runs.rename(columns={"id": "run"})[["dataset", "rule", "replicate", "run", "loss"]]
    pairs = runs.merge(cosines, on=["dataset", "rule", "replicate"])
    data = pairs[["dataset", "rule", "replicate", "run", "cosine", "loss"]]
    styles = rule_styles(data["rule"])
    figure, panels = grid(data["dataset"].nunique(), columns=2, sharex=True)
    for panel, ((dataset,), panel_data) in zip(panels, groups(data, ["dataset"]), strict=True):
        for (rule,), rule_data in groups(panel_data, ["rule"]):
            inside = rule_data["loss"] <= TOP[dataset]
            for some, marker in ((rule_data[inside], "o"), (rule_data[~inside].assign(loss=TOP[dataset]), "^")):
                panel.plot(some["cosine"], some["loss"], marker, markersize=4, color=styles[rule].colour, clip_on=False)
        panel.set_ylim(0.44, TOP[dataset])
        panel.set_title(PANELS[dataset])
        panel.set_xlabel("mean cosine with RTRL's gradient")
    panels[0].set_ylabel("loss, last epoch")
    title = "Final loss against alignment at one step"
    notes = [
        f"Suite marschall, scale {scale}: a point for each run. Cosine of the gradients of its rule and of RTRL at the "
        f"same step, on a network of scale laptop, which RTRL trains: mean over {STEPS - FORGOTTEN} steps.",
        IMMEDIATE,
        *_above(data),
    ]
    finish(figure, title, notes, used_styles(styles, data["rule"]))
    return Drawn(figure, data, title, notes)


FIGURES = {"curves": learning_curves, "alignment": alignment, "cosine": cosine_against_loss}
