"""Figures against the number of frames: memory, accuracy and time, with the published values in them."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups, runs_of
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, styled
from throughtime.reports.fptt.adding_figures import PALE
from throughtime.reports.fptt.comparison import FRAMES as ACCURACY
from throughtime.reports.fptt.memory import FRAMES, PUBLISHED, SUITE
from throughtime.reports.fptt.times import TIME
from throughtime.reports.growth import WAYS
from throughtime.reports.quantities import MIB
from throughtime.reports.styles import rule_styles

SECONDS = {
    "bptt": (10, 20, 31, 40, 60, 125, 300),
    "bptt-io": (15, 45, 100, 160, 250, 912, 5700),
    "fptt-step": (8, 14, 18, 23, 33, 76, 200),
}
"""Seconds an epoch at each number of frames (lr copy.ipynb, cells 58 to 63); the GPU is not named."""


@styled
def memory(results: Results, scale: str) -> Drawn | None:
    """Draw exact bytes of the shallow network against frames, in a panel for each place of the input: those of scale
    paper if it was run, since it needs no training."""
    runs = runs_of(results, SUITE)
    runs = runs[(runs["network"] == "shallow") & (runs["status"] == "ok")]
    scale = "paper" if (runs["scale"] == "paper").any() else scale
    runs = runs[runs["scale"] == scale]
    rows = [
        {"source": "ours", "rule": run["rule"], "input": way, "frames": run["steps"], "MiB": run[measure] / MIB}
        for _, run in runs.iterrows()
        for measure, way in WAYS.items()
        if measure in runs
    ]
    if not rows:
        return None
    batch = int(runs["batch"].iloc[0])
    specs = [results.record(run).spec for run in runs["id"]]
    is_theirs = batch == 64 and {spec.dataset.options["size"] for spec in specs} == {128}
    for rule, values in PUBLISHED.items() if is_theirs else ():
        place = {"source": "published", "rule": rule, "input": WAYS["peak_live_bytes"]}
        rows += [{**place, "frames": T, "MiB": v} for T, v in zip(FRAMES, values, strict=True)]
    data = pd.DataFrame(rows)
    styles = rule_styles(data["rule"])
    figure, panels = grid(len(WAYS), columns=3, sharex=True, sharey=True)
    for panel, way in zip(panels, WAYS.values(), strict=True):
        for (source, rule), line in groups(data[data["input"] == way].sort_values("frames"), ["source", "rule"]):
            style = styles[rule]._replace(**PALE if source == "published" else {"dash": "-"})
            panel.plot(line["frames"], line["MiB"], color=style.colour, alpha=style.alpha, linewidth=style.width)
            marker = "o" if source == "ours" else "s"
            panel.plot(line["frames"], line["MiB"], marker, color=style.colour, alpha=style.alpha, ms=4)
        panel.set_title(way)
    panels[0].set_ylabel("memory (MiB)")
    panels[1].set_xlabel("frames")
    rules = sorted(set(data.loc[data["source"] == "ours", "rule"]))
    title = "Memory of training against frames"
    notes = [f"Suite {SUITE}, scale {scale}, shallow network, batch {batch}: exact bytes of live tensors at the peak."]
    if is_theirs:
        notes.append("Pale: GPU memory published by the authors, which includes a constant part; input on the device.")
    pale = {f"{rule}, published": styles[rule]._replace(**PALE) for rule in rules if is_theirs}
    finish(figure, title, notes, {**{rule: styles[rule]._replace(dash="-") for rule in rules}, **pale})
    return Drawn(figure, data, title, notes)


@styled
def accuracy(results: Results, scale: str, suite: str = ACCURACY) -> Drawn | None:
    """Draw test accuracy against frames: a panel for each data set, a line for each rule and neuron."""
    runs = runs_of(results, suite, scale)
    if "accuracy" not in runs or runs["accuracy"].isna().all():
        return None
    runs = runs[runs["status"] == "ok"]
    data = pd.DataFrame(
        {
            "data": [label.split("-")[0] for label in runs["dataset"]],
            "series": runs["rule"] + " " + runs["neuron"],
            "source": "ours",
            "frames": runs["steps"].astype(float),
            "accuracy": 100 * runs["accuracy"],
        }
    )
    data = pd.concat([data, _published_accuracies(set(data["data"]))], ignore_index=True)
    families = list(dict.fromkeys(data["data"]))
    styles = rule_styles(data["series"])
    figure, panels = grid(len(families), columns=2)
    for panel, family in zip(panels, families, strict=True):
        panel_data = data[data["data"] == family]
        for (source, series), line in groups(panel_data, ["source", "series"]):
            style = styles[series]._replace(**PALE) if source == "published" else styles[series]
            mean = line.groupby("frames")["accuracy"].mean()
            panel.plot(mean.index, mean, color=style.colour, ls=style.dash, lw=style.width, alpha=style.alpha)
            if source == "ours":
                panel.plot(line["frames"], line["accuracy"], ".", color=style.colour, ms=4)
        panel.set(title=family, xlabel="frames", ylabel="test accuracy (%)")
        scale_axis(panel.xaxis, panel_data["frames"], ratio=2)
    title = "Accuracy against frames"
    notes = [f"Suite {suite}, scale {scale}. Line: mean of the replicates (points), last epoch, test split."]
    theirs = data.loc[data["source"] == "published", "series"].unique()
    notes += ["Pale: published, mean of 3 seeds, of the epoch that was best on the test split."] if len(theirs) else []
    drawn = {drawn_series: styles[drawn_series] for drawn_series in dict.fromkeys(data["series"])}
    finish(
        figure,
        title,
        notes,
        {**drawn, **{f"{drawn_series}, published": styles[drawn_series]._replace(**PALE) for drawn_series in theirs}},
    )
    return Drawn(figure, data, title, notes)


def _published_accuracies(families: set[str]) -> pd.DataFrame:
    """Return the published accuracies of the data sets that we ran, from the targets."""
    from throughtime.reports.papers.paper import load_paper

    rows = []
    for target in load_paper("fptt").file.targets:
        if target.cell is not None and target.cell.suite == ACCURACY:
            family, frames = target.cell.dataset.split("-")
            series = f"{target.cell.rule} {target.cell.neuron}"
            row = {"data": family, "series": series, "source": "published", "frames": float(frames)}
            rows += [{**row, "accuracy": 100 * target.published}] if family in families else []
    return pd.DataFrame(rows)


@styled
def time(results: Results, scale: str) -> Drawn | None:
    """Draw the time of a frame against frames, of a sequence in ours and of an epoch in the published numbers."""
    runs = runs_of(results, TIME, scale)
    if "wall_time" not in runs or runs["wall_time"].isna().all():
        return None
    runs = runs.dropna(subset="wall_time")
    ours = pd.DataFrame(
        {"source": "ours", "rule": runs["rule"], "frames": runs["steps"].astype(float), "seconds": runs["wall_time"]}
    )
    rows = [
        {"source": "published", "rule": rule, "frames": float(T), "seconds": value}
        for rule, values in SECONDS.items()
        for T, value in zip(FRAMES, values, strict=True)
    ]
    data = pd.concat([ours, pd.DataFrame(rows)], ignore_index=True)
    data = data.assign(per_frame=data["seconds"] / data["frames"]).sort_values(["source", "rule", "frames"])
    styles = rule_styles(data["rule"])
    figure, panels = grid(2, columns=2, sharex=True)
    titles = {"ours": "ours, a sequence (ms a frame)", "published": "published, an epoch (s a frame)"}
    for panel, (source, factor) in zip(panels, (("ours", 1e3), ("published", 1.0)), strict=True):
        panel_data = data[data["source"] == source]
        for (rule,), line in groups(panel_data, ["rule"]):
            style = styles[rule]
            panel.plot(line["frames"], factor * line["per_frame"], color=style.colour, ls=style.dash, marker="o", ms=4)
        panel.set(title=titles[source], xlabel="frames")
        scale_axis(panel.xaxis, data["frames"], ratio=1)
        scale_axis(panel.yaxis, factor * panel_data["per_frame"], ratio=5)
        panel.set_ylim(0 if panel.get_yscale() == "linear" else None)
    busy = " On a busy machine." if runs["contended"].any() else ""
    title = "Time of a frame against frames"
    notes = [f"Suite {TIME}, scale {scale}: flat lines are linear in the frames, rising ones quadratic.{busy}"]
    finish(figure, title, notes, {rule: styles[rule] for rule in SECONDS})
    return Drawn(figure, data, title, notes)
