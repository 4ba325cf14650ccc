"""Figures of Marschall, Cho and Savin 2020: learning curves, alignment matrix, alignment against final loss."""

from __future__ import annotations

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups, rule_rank, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, rule_styles, styled
from throughtime.reports.marschall import exact
from throughtime.reports.marschall.side_by_side import FORGOTTEN, LEADER, STEPS, along_rtrl

PANELS = {"add": "Add, α = 1", "add-half": "Add, α = 1/2", "mimic": "Mimic, α = 1", "mimic-half": "Mimic, α = 1/2"}
LEVELS = (exact.without_dependencies, exact.with_the_longer, exact.with_the_shorter, exact.with_both)


@styled
def learning_curves(results: Results, scale: str) -> Drawn | None:
    """Draw the loss against the step: a panel per task, a line per rule, the mean of its runs. None without a curve."""
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
    styles = rule_styles(data["rule"])
    figure, panels = grid(len(PANELS), columns=2, sharex=True)
    for panel, (dataset, title) in zip(panels, PANELS.items(), strict=True):
        here = data[data["dataset"] == dataset]
        for (rule,), of_rule in groups(here, ["rule"]):
            mean = of_rule.groupby("step")["loss"].mean()
            panel.plot(mean.index, mean, color=styles[rule].colour, linestyle=styles[rule].dash, linewidth=1.4)
        if dataset.startswith("add"):
            for level in LEVELS:
                panel.axhline(level(), color="0.45", linestyle=(0, (4, 3)), linewidth=0.8, zorder=1)
        else:
            panel.set_yscale("log")
        panel.set_title(title)
        panel.label_outer()
    figure.supxlabel("step", fontsize=9)
    figure.supylabel("loss", fontsize=9)
    failed = runs[runs["status"] != "ok"]
    title = "Online rules with an update at every step"
    notes = [
        f"Suite marschall, scale {scale}: mean loss over each epoch, mean of the runs. Dashed: least cross-entropy "
        "without dependencies, with the longer lag alone, the shorter alone, and both.",
        *(f"{run['label']}: {run['status']}, {run['reason']}." for _, run in failed.iterrows()),
    ]
    finish(
        figure, title, notes, {rule: styles[rule] for rule in sorted(styles, key=rule_rank) if rule in set(data.rule)}
    )
    return Drawn(figure, data, title, notes)


@styled
def alignment(results: Results, scale: str) -> Drawn | None:
    """Draw the matrix of mean cosines between the rules' gradients at the same step, for Add. None without runs."""
    each = {dataset: along_rtrl(results, dataset, scale) for dataset in ("add", "add-half")}
    parts = [found.assign(dataset=dataset) for dataset, found in each.items() if found is not None]
    if not parts:
        return None
    data = pd.concat(parts, ignore_index=True)
    figure, panels = grid(len(parts), columns=2)
    for panel, (dataset, here) in zip(panels, data.groupby("dataset", sort=False), strict=True):
        matrix = here.pivot(index="rule", columns="other", values="mean")
        rules = sorted(matrix.index, key=rule_rank)
        values = matrix.loc[rules, rules].to_numpy()
        panel.imshow(values, vmin=-1, vmax=1, cmap="RdBu_r")
        panel.set_xticks(range(len(rules)), rules, rotation=90)
        panel.set_yticks(range(len(rules)), rules)
        panel.grid(visible=False)
        for (row, column), value in np.ndenumerate(values):
            dark = abs(value) > 0.6
            panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color="w" if dark else "k")
        panel.set_title(PANELS[str(dataset)])
    title = "Alignment of the rules' gradients"
    notes = [
        f"Suite marschall, scale {scale}: cosine of two rules' gradients of the recurrent layer at the same step on "
        f"the same network, mean over {STEPS - FORGOTTEN} steps of RTRL from its trained weights on."
    ]
    finish(figure, title, notes, {})
    return Drawn(figure, data, title, notes)


@styled
def cosine_against_loss(results: Results, scale: str) -> Drawn | None:
    """Draw the final loss of each rule against its mean cosine with RTRL's gradient, for Add. None without runs."""
    runs = runs_of(results, "marschall", scale)
    rows = []
    for dataset in ("add", "add-half"):
        cosines = along_rtrl(results, dataset, scale)
        if cosines is None:
            continue
        with_rtrl = cosines[cosines["other"] == LEADER].set_index("rule")["mean"]
        ended = runs[(runs["dataset"] == dataset) & (runs["status"] == "ok") & runs["rule"].isin(with_rtrl.index)]
        for rule, loss in ended.groupby("rule")["loss"].mean().items():
            rows.append({"dataset": dataset, "rule": rule, "cosine": with_rtrl[rule], "loss": loss})
    if not rows:
        return None
    data = pd.DataFrame(rows)
    styles = rule_styles(data["rule"])
    figure, panels = grid(data["dataset"].nunique(), columns=2, sharex=True)
    for panel, (dataset, here) in zip(panels, data.groupby("dataset", sort=False), strict=True):
        for _, row in here.iterrows():
            panel.plot(row["cosine"], row["loss"], "o", color=styles[row["rule"]].colour)
            panel.annotate(row["rule"], (row["cosine"], row["loss"]), xytext=(4, 3), textcoords="offset points", size=7)
        panel.set_title(PANELS[str(dataset)])
        panel.set_xlabel("mean cosine with RTRL's gradient")
    panels[0].set_ylabel("loss, last epoch")
    title = "Final loss against alignment at one step"
    notes = [f"Suite marschall, scale {scale}: final loss, mean of the runs, against the alignment at the same step."]
    finish(figure, title, notes, {})
    return Drawn(figure, data, title, notes)


FIGURES = {"curves": learning_curves, "alignment": alignment, "cosine": cosine_against_loss}
