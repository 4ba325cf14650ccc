"""The figure of lengths: solved runs, exact memory and time against T, and the best rule for each memory budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import (
    extent,
    groups,
    neuron_label,
    one_line,
    rule_family,
    rule_rank,
    rule_title,
    slug,
)
from throughtime.reports.drawing import Drawn, finish, styled
from throughtime.reports.lengths import BUDGETS, PANEL, SOLVED, budget_map, length_cells
from throughtime.reports.rule_marks import spread
from throughtime.reports.styles import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = (
    *("bptt", "bptt-γ=0.1", "bptt-γ=0.05", "checkpointed_bptt", "tbptt-tenth", "fptt"),
    *("eprop", "ottt", "sltt", "snap_n"),
)
MOST_LINES = 8
"""The first of these rules in the records have a line; the table has all rules."""
FAMILY_COLOURS = {
    "exact": "#222222",
    "window": "#d55e00",
    "trace of a synapse": "#0072b2",
    "trace of an input": "#009e73",
    "no trace": "#8c8c8c",
}
FAMILIES = {
    **dict.fromkeys(("bptt", "checkpointed_bptt", "rtrl", "ostl"), "exact"),
    **dict.fromkeys(("tbptt", "fptt", "rolling_tbptt"), "window"),
    **dict.fromkeys(("eprop", "diagonal_rtrl", "snap1", "snap_n"), "trace of a synapse"),
    **dict.fromkeys(("ottt", "pp_prop", "s_tllr"), "trace of an input"),
    "sltt": "no trace",
}
"""Family of rules; a rule of none, such as one of a user, is shown without a colour."""
SHORT = {
    **{"bptt": "BPTT", "checkpointed_bptt": "checkpoints", "tbptt": "TBPTT 25", "tbptt-tenth": "TBPTT T/10"},
    **{"fptt": "FPTT", "eprop": "e-prop", "eprop-random": "e-prop rand.", "diagonal_rtrl": "diag. RTRL"},
    **{"snap_n": "SnAp-2", "ottt": "OTTT", "pp_prop": "pp-prop", "sltt": "SLTT"},
    **{"bptt-γ=0.1": "BPTT γ=0.1", "bptt-γ=0.05": "BPTT γ=0.05"},
    "checkpointed_bptt-γ=0.1": "checkp. γ=0.1",
}
"""Names of at most 13 letters, which fit a cell of the map."""
ROWS = {"share": ("solved runs (%)", 1.5), "bytes": ("training memory", 1.5), "time": ("time / BPTT's", 1.1)}
"""Label and height in inches of each row of lines."""
MAP_HEIGHT, WIDTH = 1.35, 6.9
DASHES = {"bptt-γ=0.1": ":", "bptt-γ=0.05": "-.", "checkpointed_bptt": "--", "fptt": "--", "snap_n": "--"}
"""Lines of a family beside its first."""


def length_figures(results: Results, suite: str, scale: str) -> dict[str, Drawn]:
    """Draw the figure for each task and neuron of a suite whose tasks have at least three lengths.

    Rows: the share of solved runs with its exact interval; exact peak bytes with the input streamed, and the budgets;
    time over BPTT's; the budget map. Lengths at which no rule was trained are marked `not run`.

    Args:
        results: of the suite; its costs are read from the same folder.
        suite: a suite whose metric is an accuracy.
        scale: one of its scales.

    Returns:
        The figures by task and neuron; empty for other suites.
    """
    cells = length_cells(results, suite, scale)
    cells = cells[cells.groupby(PANEL)["n"].transform("max") > 0]
    chosen = budget_map(cells)
    return {
        slug(f"{task}-{neuron}"): _draw(group, chosen[(chosen[PANEL] == [task, neuron]).all(axis=1)], suite, scale)
        for (task, neuron), group in groups(cells, PANEL)
    }


@styled
def _draw(cells: pd.DataFrame, chosen: pd.DataFrame, suite: str, scale: str) -> Drawn:
    from matplotlib.figure import Figure

    rows = [row for row in ROWS if cells[row].notna().any()]
    heights = [*(ROWS[row][1] for row in rows), MAP_HEIGHT]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.25 * len(heights)))
    panels = figure.subplots(len(heights), 1, height_ratios=heights)
    lengths = sorted(set(cells["T"]))
    for row, panel in zip(rows, panels, strict=False):
        _time_axis(panel, lengths)
        _draw_row(panel, cells, row)
    if "share" in rows:
        _mark_not_run(panels[rows.index("share")], cells, lengths)
    _draw_map(panels[-1], chosen, lengths)
    task, neuron = cells[PANEL].iloc[0]
    runs = f"n = {extent(cells.loc[cells['n'] > 0, 'n'].astype(int))} runs a point"
    notes = [
        f"Suite {suite}, scale {scale}, {runs}, at most {cells['batches'].max():.0f} batches.",
        f"Solved: at least {100 * SOLVED:.0f} % accuracy on the test split; bars: exact 95 % interval of the share.",
        "Memory: exact peak of live tensors, batch 32, input streamed. Time: of a batch, in turns with BPTT.",
        "Map: the rule with the highest median accuracy among those whose memory fits (fewest bytes where equal); "
        "below it, by how many points of accuracy the best rule at any memory exceeds it.",
    ]
    title = f"Where online learning pays: {one_line(task).replace('_', ' ')}, {neuron_label(neuron, 'recurrent')}"
    finish(figure, title, notes, _legend(cells))
    return Drawn(figure, cells, title, notes)


def _legend(cells: pd.DataFrame) -> dict[str, Style]:
    from matplotlib.colors import to_rgb

    shown = {FAMILIES[rule_family(rule)] for rule in _lines(cells)}
    return {family: Style(to_rgb(colour), "-") for family, colour in FAMILY_COLOURS.items() if family in shown}


def _lines(cells: pd.DataFrame) -> list[str]:
    """Return the rules that have a line."""
    return [rule for rule in LINES if rule in set(cells["rule"])][:MOST_LINES]


def _colour(rule: str) -> str:
    return FAMILY_COLOURS.get(FAMILIES.get(rule_family(rule), ""), "white")


def _name(rule: str) -> str:
    return SHORT.get(rule, rule_title(rule))


def _draw_row(panel: Axes, cells: pd.DataFrame, row: str) -> None:
    """Draw a line for each rule of `_lines`, with its name at the end."""
    ends = []
    for i, rule in enumerate(sorted(_lines(cells), key=rule_rank)):
        line = cells[(cells["rule"] == rule) & cells[row].notna()]
        if line.empty:
            continue
        colour, y = _colour(rule), line[row] * (100 if row == "share" else 1)
        x = line["T"] * (1.02 ** (i - 3.5) if row == "share" else 1)  # lines at 0 and at 100 % lie on one another
        panel.plot(x, y, DASHES.get(rule, "-"), color=colour, marker="o", ms=3, lw=1.3)
        if row == "share":
            panel.vlines(x, 100 * line["low"], 100 * line["high"], color=colour, lw=0.7, alpha=0.4)
        ends.append((float(x.iloc[-1]), float(y.iloc[-1]), _name(rule), colour))
    if row == "share":
        panel.set(ylim=(-6, 106), yticks=[0, 50, 100])
    else:
        panel.set_yscale("log")
    if row == "bytes":
        _mark_budgets(panel)
    if row == "time":
        _number_times(panel)
    panel.set_ylabel(ROWS[row][0])
    _put_names(panel, ends)


def _put_names(panel: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Write the names of lines right of the panel, in the order of their ends, each with a line to it."""
    to_panel = panel.transData + panel.transAxes.inverted()
    points = [to_panel.transform((x, y)) for x, y, _, _ in ends]
    column = 1.02
    for (x, y), place, (_, _, name, colour) in zip(
        points, spread([float(y) for _, y in points], gap=0.13), ends, strict=True
    ):
        panel.text(column, place, name, color=colour, fontsize=7.5, va="center", transform=panel.transAxes)
        line = ([x + 0.008, column - 0.006], [y, place])
        panel.plot(*line, color=colour, lw=0.5, alpha=0.6, transform=panel.transAxes, clip_on=False)


def _number_times(panel: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = panel.get_ylim()
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 30 else (1,)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


def _mark_budgets(panel: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    low, high = panel.get_ylim()
    panel.set_ylim(min(low, 1.5e5), max(high, 1.6e7))
    for name, limit in BUDGETS.items():
        if limit < panel.get_ylim()[1]:
            panel.axhline(limit, color="0.35", lw=0.9, ls=(0, (4, 3)))
            panel.text(0.005, limit, name, fontsize=7, color="0.3", va="bottom", transform=panel.get_yaxis_transform())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _bytes(value)))
    panel.yaxis.set_minor_locator(NullLocator())


def _bytes(value: float) -> str:
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:g} {unit}"
    return f"{value:g} B"


def _time_axis(panel: Axes, lengths: list[int]) -> None:
    panel.set_xscale("log")
    panel.set_xticks(lengths, [str(T) for T in lengths])
    panel.set_xlim(lengths[0] / 1.3, lengths[-1] * 1.12)
    panel.minorticks_off()


def _mark_not_run(panel: Axes, cells: pd.DataFrame, lengths: list[int]) -> None:
    """Shade the lengths beyond the last at which a rule was trained."""
    last = cells.loc[cells["n"] > 0, "T"].max()
    if last < lengths[-1]:
        panel.axvspan(last * 1.41, panel.get_xlim()[1], color="0.94", lw=0, zorder=0)
        panel.text(0.985, 0.8, "not run", ha="right", va="center", fontsize=8, color="0.45", transform=panel.transAxes)


def _draw_map(panel: Axes, chosen: pd.DataFrame, lengths: list[int]) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    budgets = list(BUDGETS)
    panel.set(xlim=(-0.5, len(lengths) - 0.5), ylim=(-0.5, len(budgets) - 0.5))
    panel.set_xticks(range(len(lengths)), [str(T) for T in lengths])
    panel.set_yticks(range(len(budgets)), budgets)
    panel.grid(False)
    for _, row in chosen.iterrows():
        x, y = lengths.index(row["T"]), budgets.index(row["budget"])
        ran = row["state"] == "run"
        face = to_rgba(_colour(row["rule"]), 0.22) if ran else "0.96"
        panel.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=face, edgecolor="white"))
        text, colour = row["state"], "0.5"
        if ran:
            loss = round(100 * row["loss"])
            text, colour = f"{_name(row['rule'])}\n{f'−{loss}' if loss else 'best'}", "0.1"
        panel.text(x, y, text, ha="center", va="center", fontsize=6.5, color=colour, linespacing=1.1)
    panel.set_ylabel("best rule\nwithin")
    panel.set_xlabel("T, time steps")
