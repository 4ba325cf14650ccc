"""Figures of gradient alignment with BPTT, over training and by group of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.alignment_points import (
    ALL,
    COSINE,
    HIDDEN,
    MEANING,
    MEASURES,
    NORM_RATIO,
    PARAMETERS,
    alignment_points,
    epochs_of,
)
from throughtime.reports.alignment_ranks import alignment_ranks, warning
from throughtime.reports.cells import KEYS, TASK, groups, neuron_label, rule_rank
from throughtime.reports.drawing import Drawn, finish, grid, scale_axis, star, styled
from throughtime.reports.figures import cells_left_out, count_range, used_styles
from throughtime.reports.styles import Style, rule_styles
from throughtime.reports.tuning import star_sentence, starred

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = {COSINE: "cosine to BPTT", NORM_RATIO: "norm over BPTT's"}
ACROSS = 4
"""Number of neurons in a row of panels."""


@styled
def alignment_over_training(results: Results, suite: str, scale: str) -> Drawn | None:
    """Draw cosine and norm ratio against epochs, for all parameters but the readout's: two panels per neuron.

    Lines are means over the `ok` replicates of a rule, bands reach from the smallest to the largest; a failed replicate
    is a thin line that ends in a cross.

    Args:
        results: all runs, so that a rule has the same colour in every figure.
        suite: one suite.
        scale: one of its scales.

    Returns:
        The figure, or None if alignment was not measured.
    """
    runs, points = alignment_points(results, suite, scale)
    data = points[points["group"] == points["headline"]].drop(columns="headline") if len(points) else points
    if data.empty:
        return None
    means = _means(data)
    styles, at_edge = rule_styles(results.frame["rule"]), starred(runs)
    figure, panels = _pairs_of_panels(data)
    for key, pair in panels.items():
        cell_data, mean = (rows[(rows[TASK] == list(key)).all(axis=1)] for rows in (data, means))
        for measure, panel in pair.items():
            for (rule,), line in groups(mean, ["rule"]):
                _draw_mean(panel, line.sort_values("epoch"), measure, styles[rule])
                if (suite, scale, *key, rule) in at_edge:
                    last = line.dropna(subset=f"{measure}.mean").nlargest(1, "epoch")
                    for epoch, value in zip(last["epoch"], last[f"{measure}.mean"], strict=True):
                        star(panel, epoch, value, styles[rule].colour)
            for (rule, _), line in groups(cell_data[cell_data["status"] != "ok"], ["rule", "replicate"]):
                _draw_failed(panel, line, measure, styles[rule])
            panel.axhline(1, color="0.45", linestyle=(0, (4, 3)), linewidth=1, zorder=1)
            panel.locator_params(axis="x", integer=True)
        pair[COSINE].set_title(f"{key[0]} · {neuron_label(key[2], key[1])}")
        pair[COSINE].tick_params(labelbottom=False)
        pair[NORM_RATIO].set_xlabel("epoch")
    trained = data[data["epoch"] > 0] if (data["epoch"] > 0).any() else data
    for measure in MEASURES:
        _alike([pair[measure] for pair in panels.values()], "y", measure, trained[measure])
    notes = [
        f"Suite {suite}, scale {scale}, {count_range(means['n'])} a line.",
        f"{MEANING}. Parameters: {PARAMETERS if HIDDEN in set(data['group']) else 'all'}. Dashed: 1, BPTT.",
        "Line: mean over the replicates that ended ok. "
        + ("Band: smallest to largest. " if means["n"].max() > 1 else "No band: one replicate has no spread. ")
        + ("Thin, ending in a cross: a replicate that failed." if (data["status"] != "ok").any() else ""),
        *star_sentence(runs),
        *warning(alignment_ranks(results, suite, scale)),
        *cells_left_out(runs, data),
    ]
    finish(figure, "Gradient alignment with BPTT", notes, used_styles(styles, data["rule"]))
    return Drawn(figure, data.merge(means.assign(status="ok"), how="left"), "Gradient alignment with BPTT", notes)


@styled
def alignment_by_group(results: Results, suite: str, scale: str) -> Drawn | None:
    """Draw cosine and norm ratio in each group of parameters: a row per neuron, filled markers for the last measured
    epoch, hollow ones for the first.

    Args and Returns are those of `alignment_over_training`.
    """
    runs, points = alignment_points(results, suite, scale)
    fine = points[points["status"] == "ok"].drop(columns="headline") if len(points) else points
    if fine.empty:
        return None
    means = _ends(_means(fine))
    cells = groups(means, TASK)
    styles, at_edge = rule_styles(results.frame["rule"]), starred(runs)
    beside = 1 if len(cells) <= 3 else 2
    heights = [_height(cell) for _, cell in cells]
    rows = [max(heights[start : start + beside]) for start in range(0, len(cells), beside)]
    figure, axes = grid(2 * len(cells), columns=2 * beside, height_ratios=rows)
    for i, ((dataset, network, neuron), cell) in enumerate(cells):
        for panel, measure in zip(axes[2 * i : 2 * i + 2], MEASURES, strict=True):
            _draw_groups(panel, cell, measure, styles, at_edge)
            panel.set_title(f"{dataset} · {neuron_label(neuron, network)}" if measure == COSINE else "")
    for column, measure in enumerate(MEASURES):
        _alike(axes[column::2], "x", measure, pd.concat([means[f"{measure}.low"], means[f"{measure}.high"]]))
    figure.set_size_inches(figure.get_size_inches()[0] + 0.8, sum(rows))
    several = (means["place"] == "first").any()
    notes = [
        f"Suite {suite}, scale {scale}, {count_range(means['n'])} a point.",
        f"{MEANING}. Dashed: 1, BPTT.",
        f"Filled: {epochs_of(means, 'last')}, with a bar from the smallest to the largest replicate. "
        + (f"Hollow: {epochs_of(means, 'first')}. " if several else "")
        + f"Points: means over the replicates that ended ok. Hidden: {PARAMETERS}.",
        *star_sentence(runs),
        *cells_left_out(runs, fine),
    ]
    title = "Gradient alignment by group of parameters"
    solid = {rule: style._replace(dash="-") for rule, style in used_styles(styles, means["rule"]).items()}
    finish(figure, title, notes, solid)
    return Drawn(figure, means, title, notes)


def _means(points: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each cell, epoch and group: mean, smallest and largest over the `ok` replicates, and n."""
    keys = [*KEYS, "epoch", "group"]
    grouped = points[points["status"] == "ok"].groupby(keys, sort=False)
    named = {
        f"{measure}.{name}": (measure, function)
        for measure in MEASURES
        for name, function in (("mean", "mean"), ("low", "min"), ("high", "max"))
    }
    return grouped.agg(**named, n=(COSINE, "count")).reset_index().astype({"n": float})


def _ends(means: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first and the last epoch of each cell; a single epoch counts as the last."""
    first, last = (means.groupby(KEYS)["epoch"].transform(end) for end in ("min", "max"))
    ends = means.assign(place=np.where(means["epoch"] == last, "last", "first"))
    return ends[(means["epoch"] == last) | (means["epoch"] == first)].reset_index(drop=True)


def _pairs_of_panels(data: pd.DataFrame) -> tuple[Figure, dict[tuple[str, ...], dict[str, Axes]]]:
    """Return, for each dataset and neuron, a panel for each measure, one below the other."""
    lines = []
    for _, dataset_rows in groups(data, ["dataset"]):
        cells = [key for key, _ in groups(dataset_rows, TASK)]
        lines += [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
    columns = max(map(len, lines))
    figure, axes = grid(2 * columns * len(lines), columns=columns)
    panels = {}
    for i, cells in enumerate(lines):
        rows = [axes[(2 * i + k) * columns : (2 * i + k + 1) * columns] for k in (0, 1)]
        for measure, row in zip(MEASURES, rows, strict=True):
            row[0].set_ylabel(AXES[measure])
        for j, key in enumerate(cells):
            panels[key] = {measure: row[j] for measure, row in zip(MEASURES, rows, strict=True)}
        for left_over in (*rows[0][len(cells) :], *rows[1][len(cells) :]):
            left_over.remove()
    return figure, panels


def _draw_mean(panel: Axes, line: pd.DataFrame, measure: str, style: Style) -> None:
    drawn: dict[str, Any] = {
        "color": style.colour,
        "linestyle": style.dash,
        "linewidth": 1.6,
        "marker": "o",
        "markersize": 3.5,
    }
    panel.plot(line["epoch"], line[f"{measure}.mean"], **drawn)
    ends = line[f"{measure}.low"], line[f"{measure}.high"]
    panel.fill_between(line["epoch"], *ends, color=style.colour, alpha=0.15, linewidth=0)


def _draw_failed(panel: Axes, line: pd.DataFrame, measure: str, style: Style) -> None:
    panel.plot(line["epoch"], line[measure], color=style.colour, linewidth=0.8, alpha=0.8)
    last = line[line[measure].notna()].tail(1)
    panel.plot(last["epoch"], last[measure], color=style.colour, marker="x", markersize=7)


def _group_names(means: pd.DataFrame) -> list[str]:
    """Return the groups of parameters to draw: `all` only where the readout is not a group of its own."""
    return [name for name in dict.fromkeys(means["group"]) if name != ALL or HIDDEN not in set(means["group"])]


def _height(means: pd.DataFrame) -> float:
    """Return the height in inches of a panel that shows these groups and rules."""
    return 0.55 + len(_group_names(means)) * max(0.26, 0.09 * means["rule"].nunique() + 0.08)


def _draw_groups(
    panel: Axes, means: pd.DataFrame, measure: str, styles: dict[str, Style], at_edge: set[tuple[str, ...]]
) -> None:
    """Draw one measure of a neuron: a row for each group of parameters, and in it a line of dots for each rule."""
    names = _group_names(means)
    rules = sorted(set(means["rule"]), key=rule_rank)
    for (rule,), dots in groups(means[means["group"].isin(names)], ["rule"]):
        shift = 0.72 * ((rules.index(rule) + 0.5) / len(rules) - 0.5)
        _draw_dots(panel, dots.assign(y=[names.index(group) + shift for group in dots["group"]]), measure, styles[rule])
        if tuple(dots.iloc[0][KEYS]) in at_edge:
            for _, dot in dots[dots["place"] == "last"].iterrows():
                star(panel, dot[f"{measure}.mean"], names.index(dot["group"]) + shift, styles[rule].colour)
    panel.axvline(1, color="0.45", linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(labelleft=measure == COSINE)
    for between in np.arange(0.5, len(names) - 1):
        panel.axhline(between, color="0.9", linewidth=0.8, zorder=0)
    panel.grid(axis="y", visible=False)
    panel.set_xlabel(AXES[measure])


def _draw_dots(panel: Axes, dots: pd.DataFrame, measure: str, style: Style) -> None:
    """Draw one rule: for each group of parameters a dot for the first and for the last epoch."""
    mean, colour = f"{measure}.mean", style.colour
    places = {place: rows.set_index("group") for (place,), rows in groups(dots, ["place"])}
    last = places["last"]
    if "first" in places:
        first = places["first"].reindex(last.index)
        panel.plot(*_segments(first[mean], last[mean], last["y"]), color=colour, linewidth=0.7, alpha=0.6)
        panel.plot(first[mean], last["y"], "o", ms=4.2, mfc="white", mec=colour, mew=1, zorder=3)
    ends = last[f"{measure}.low"], last[f"{measure}.high"]
    panel.plot(*_segments(*ends, last["y"]), color=colour, linewidth=2.2)
    panel.plot(last[mean], last["y"], "o", ms=4.2, color=colour, zorder=4)


def _segments(left: pd.Series, right: pd.Series, y: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of a line that consists of horizontal segments: one artist, since thousands take long to draw."""
    gaps = np.full(len(y), np.nan)
    return np.column_stack([left, right, gaps]).ravel(), np.repeat(y.to_numpy(), 3)


def _alike(panels: list[Axes], along: Literal["x", "y"], measure: str, values: pd.Series) -> None:
    """Set one scale, which contains 1, for all panels of a measure: linear for cosines, logarithmic for ratios."""
    values = pd.concat([values[np.isfinite(values)], pd.Series([1.0])])
    least, most = values.min(), values.max()
    for panel in panels:
        if measure == COSINE:
            bottom = min(0.0, least)
            limits = bottom - 0.05 * (1 - bottom), 1 + 0.05 * (1 - bottom)
            if least < 0:
                (panel.axhline if along == "y" else panel.axvline)(0, color="0.6", linewidth=0.9, zorder=1)
        else:
            axis = panel.yaxis if along == "y" else panel.xaxis
            scale_axis(axis, values, ratio=2)
            if 2 < most / least < 10:
                panel.locator_params(axis=along, subs=(1, 2, 3, 5, 7))
            margin = (most / least) ** 0.07
            limits = (least / margin, most * margin) if most > 2 * least else (0, 1.1 * most)
        panel.set(**{f"{along}lim": limits})
