"""The adding-task figure: our runs of the suite `fptt`, the authors' own curves behind them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pandas as pd

from throughtime.reports.drawing import Drawn, finish, rule_styles, styled
from throughtime.store import read_curve

PUBLISHED = {"snn_fptt_mem_200": "fptt", "snn_v2_fptt_mem_200": "fptt", "snn_bptt_mem_200": "bptt"}
"""The authors' LTC files at T = 200, and the rule of ours that each is drawn beside."""
TRIVIAL = 1 / 6
"""Error of always answering with the mean: the variance of a sum of two uniform numbers."""
TITLE = "Adding task, T = 200, LTC neurons"


@styled
def draw(store_frame: pd.DataFrame, scale: str) -> Drawn | None:
    """Mean squared error against training iteration, a line a run; None if no run of the suite left a curve.

    Args:
        store_frame: what `Store.frame` returns; runs of other suites are left alone.
        scale: of the runs to draw.
    """
    from matplotlib.figure import Figure

    runs = store_frame[(store_frame["suite"] == "fptt") & (store_frame["scale"] == scale)]
    ours = pd.concat([_curve(run) for _, run in runs.iterrows()], ignore_index=True) if len(runs) else pd.DataFrame()
    if ours.empty:
        return None
    published = _published(int(ours["iteration"].max()))
    styles = rule_styles(store_frame["rule"])
    figure = Figure(figsize=(7.2, 3.4))
    panel = figure.subplots()
    for (rule, _), line in pd.concat([published, ours]).groupby(["rule", "run"], sort=False):
        behind = line["source"].iloc[0] == "published"
        panel.plot(
            line["iteration"],
            line["mse"],
            color=styles[rule].colour,
            linestyle=styles[rule].dash,
            linewidth=3.5 if behind else 1.3,
            alpha=0.3 if behind else 1,
            zorder=1 if behind else 2,
        )
    panel.axhline(TRIVIAL, color="0.45", linestyle=(0, (4, 3)), linewidth=1)
    panel.set(yscale="log", xlabel="training iteration (128 sequences)", ylabel="mean squared error", xlim=(0, None))
    n = runs.groupby("rule").size().max()
    failed = runs[runs["status"] != "ok"]
    notes = [
        f"suite fptt, scale {scale}, {n} replicates, each a thin line: validation split, every 10 iterations.",
        "Broad pale lines: the authors' own curves for FPTT (two files) and BPTT, means of 10 iterations. "
        f"Dashed: always answering with the mean, {TRIVIAL:.3f}.",
        *(f"{run['label']}: {run['status']}, {run['reason']}" for _, run in failed.iterrows()),
    ]
    finish(figure, TITLE, notes, {rule: styles[rule] for rule in runs["rule"].unique()})
    data = pd.concat([ours, published], ignore_index=True)
    return Drawn(figure, data, TITLE, notes)


def _curve(run: pd.Series) -> pd.DataFrame:
    rows = read_curve(Path(run["folder"]))
    return pd.DataFrame(
        {
            "source": "ours",
            "rule": run["rule"],
            "run": run["label"],
            "iteration": [int(row["iteration"]) for row in rows],
            "mse": [row["validation"] for row in rows],
        }
    )


def _published(last: int) -> pd.DataFrame:
    """The authors' curves up to an iteration, in the same columns."""
    with resources.files("throughtime.published").joinpath("adding_200.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    table = table[table["iteration"] <= last]
    return pd.concat(
        [
            pd.DataFrame(
                {"source": "published", "rule": rule, "run": name, "iteration": table["iteration"], "mse": table[name]}
            )
            for name, rule in PUBLISHED.items()
        ]
    )
