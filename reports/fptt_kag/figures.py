"""Figure of the accuracy over the number of parts: the published runs, and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn, Style, finish, grid, styled
from throughtime.reports.fptt_kag.cells import CURVE, LTC, NEURONS, PIXELS, ROWS, accuracy
from throughtime.reports.fptt_kag.thesis import STEPS, parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WITH, WITHOUT, SGD, WITHOUT_SGD = "with regulariser", "without", "with, SGD", "without, SGD"
STYLES = {
    WITH: Style((0.01, 0.62, 0.45), "-"),
    WITHOUT: Style((0.84, 0.37, 0.0), "--"),
    SGD: Style((0.35, 0.35, 0.35), ":"),
    WITHOUT_SGD: Style((0.0, 0.45, 0.70), "-."),
}
SGD_ENDS = {LTC: "-sgd-0.1"}
"""End of the labels of rules under SGD whose runs are drawn, where a suite has several learning rates."""
T = {"rows": 28, "permuted": 196, "sequential": 196}


@styled
def draw(results: Results, scale: str) -> Drawn:
    """Draw the published runs, and those of the suites on pixels and rows at scale laptop, if any."""
    published = pd.concat(
        [parts(dataset).assign(panel=f"{dataset}, T = {steps}", steps=steps) for dataset, steps in STEPS.items()]
    )
    theirs = published.rename(columns={"with": WITH, "without": WITHOUT}).reset_index()
    data = theirs.melt(["panel", "steps", "parts"], var_name="series", value_name="accuracy").assign(replicate=0)
    panels_of_ours = ((PIXELS, "permuted"), (ROWS, "rows"), (LTC, "rows"), (CURVE, "permuted"), (CURVE, "sequential"))
    ours = pd.concat([_ours(results, suite, dataset) for suite, dataset in panels_of_ours])
    data = pd.concat([data, ours], ignore_index=True)
    names = list(dict.fromkeys(data["panel"]))
    figure, panels = grid(len(names), columns=3, sharey=True)
    for panel, name in zip(panels, names, strict=True):
        _curves(panel, data[data["panel"] == name])
        panel.set_title(name)
        panel.set_xlabel("number of parts K")
    panels[0].set_ylabel("accuracy (%)")
    title = "FPTT over the number of parts"
    notes = [
        "S-MNIST, PS-MNIST and CIFAR-10 pixel by pixel: a graduation project with the code of Kag and Saligrama, LSTM, "
        "Adam, full data, one unseeded run a cell.",
        "Ours, scale laptop, mean and range of the runs: LSTM of 64 cells, 3000 images (permuted) and 4000 (rows); LTC "
        "of 64 cells, 55 000 images, SGD at a rate of 0.1 (suites fptt_kag_pixels, _rows, _ltc and _curve).",
    ]
    finish(figure, title, notes, {name: STYLES[name] for name in STYLES if name in set(data["series"])})
    return Drawn(figure, data, title, notes)


def _ours(results: Results, suite: str, dataset: str) -> pd.DataFrame:
    runs, rows = results.select(suite, "laptop"), []
    neuron = NEURONS[suite].partition("-")[0].upper()
    sgd = SGD_ENDS.get(suite, "-sgd")
    ends = {"": WITH, "-none": WITHOUT, sgd: SGD, f"-none{sgd}": WITHOUT_SGD}
    panel = f"ours: {dataset}, {neuron}, T = {T[dataset]}"
    for rule in dict.fromkeys(runs.frame["rule"]):
        K, dash, end = str(rule).partition("-")
        if (series := ends.get(dash + end)) is not None:
            number = T[dataset] if K == "KT" else int(K.removeprefix("K"))
            cell = {"panel": panel, "steps": T[dataset], "parts": number, "series": series}
            rows += [cell | {"replicate": r, "accuracy": a} for r, a in accuracy(runs, suite, rule, dataset).items()]
    return pd.DataFrame(rows)


def _curves(panel: Axes, data: pd.DataFrame) -> None:
    for series, rows in data.groupby("series", sort=False):
        style, cells = STYLES[str(series)], rows.groupby("parts")["accuracy"]
        mean, low, high = cells.mean(), cells.min(), cells.max()
        panel.plot(mean.index, mean, color=style.colour, linestyle=style.dash, marker="o", markersize=3, linewidth=1.2)
        panel.vlines(mean.index, low, high, color=style.colour, linewidth=1)
    panel.set_xscale("log", base=2)
    panel.set_xlim(0.8, 1.25 * data["steps"].iloc[0])
    panel.xaxis.set_major_formatter("{x:g}")


FIGURES = {"parts": draw}
