"""Description of a matplotlib figure for plotly, so that the page draws the same panels with zoom and hover."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from throughtime.reports.drawing import IDENTIFIED

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

DIGITS = 5
"""Significant digits of a number."""
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
SYMBOLS = {
    **{"o": "circle", ".": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down"},
    **{"P": "cross", "X": "x", "x": "x-thin", "*": "star", "<": "triangle-left", ">": "triangle-right"},
    **{"|": "line-ns", "_": "line-ew"},
}


def described(figure: Figure) -> dict[str, Any]:
    """Describe the panels of a figure: for each its place in the grid, title, axes, traces, lines and texts.

    A trace has x, y, colour, dash, symbol, the name of the entry of the figure's legend that has its colour, and the id
    that `drawing.identified` gave its artist. A
    second legend explains symbols. What matplotlib draws otherwise (images, arrows, bars of a histogram) is left out.
    """
    names = _legend_names(figure)
    panels = [_panel(axes, names) for axes in figure.axes]
    markers: list[Any] = [legend.legend_handles for legend in figure.legends[1:]]
    symbols = {SYMBOLS[m.get_marker()]: m.get_label().strip() for handles in markers for m in handles}
    return {"panels": panels, "columns": max((panel["columns"] for panel in panels), default=1), "symbols": symbols}


def _legend_names(figure: Figure) -> dict[str, list[tuple[str, str]]]:
    """Return dash and label of the legends' lines by their colour; black ones explain markers, not colours."""
    names: dict[str, list[tuple[str, str]]] = {}
    for legend in figure.legends[:1]:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            dash = str(getattr(handle, "get_linestyle", lambda: "-")())
            colour = getattr(handle, "get_color", lambda: "black")()
            names.setdefault(_hex(colour), []).append((dash, text.get_text().strip()))
    return names


def _panel(axes: Axes, names: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    place = axes.get_subplotspec()
    grid = place.get_gridspec() if place is not None else None
    return {
        "title": axes.get_title(loc="left"),
        "columns": grid.ncols if grid is not None else 1,
        "x": _axis(axes.xaxis, axes.get_xlim()),
        "y": _axis(axes.yaxis, axes.get_ylim()),
        "traces": [*_lines(axes, names), *_collections(axes, names)],
        "levels": [level for line in axes.lines if (level := _level(axes, line)) is not None],
        "texts": [
            {"x": t.get_position()[0], "y": t.get_position()[1], "text": t.get_text(), "colour": _hex(t.get_color())}
            for t in axes.texts
            if t.get_transform() == axes.transAxes and t.get_text()
        ],
    }


def _axis(axis: Axis, limits: tuple[float, float]) -> dict[str, Any]:
    from matplotlib.ticker import FixedFormatter

    found: dict[str, Any] = {
        "label": axis.get_label_text(),
        "log": axis.get_scale() == "log",
        "range": _numbers(limits),
    }
    if isinstance(formatter := axis.get_major_formatter(), FixedFormatter):
        found["ticks"] = [_numbers(axis.get_ticklocs()), list(formatter.seq)]
    return found


def _lines(axes: Axes, names: dict[str, list[tuple[str, str]]]) -> Iterator[dict[str, Any]]:
    for line in axes.lines:
        x, y = (np.atleast_1d(np.asarray(data, dtype=float)) for data in (line.get_xdata(), line.get_ydata()))
        if line.get_transform() != axes.transData or not len(x):
            continue
        dash, marker = str(line.get_linestyle()), str(line.get_marker())
        trace = {
            **_named(line.get_color(), dash, names),
            **{"x": _numbers(x), "y": _numbers(y), "width": line.get_linewidth(), "opacity": line.get_alpha() or 1},
        }
        if dash in DASHES:
            trace["dash"] = DASHES[dash]
        trace |= _id(line)
        if line.get_drawstyle() == "steps-post":
            trace["shape"] = "hv"
        if marker in SYMBOLS:
            hollow = _hex(line.get_markerfacecolor()) == "#ffffff"
            trace |= {"symbol": SYMBOLS[marker] + "-open" * hollow, "size": 1.4 * line.get_markersize()}
        yield trace


def _collections(axes: Axes, names: dict[str, list[tuple[str, str]]]) -> Iterator[dict[str, Any]]:
    """Yield points of a scatter, segments of error bars, and bands."""
    from matplotlib.collections import LineCollection, PathCollection, PolyCollection

    for part in axes.collections:
        if isinstance(part, LineCollection):
            for segment, colour in zip(part.get_segments(), _repeated(part.get_color(), part), strict=False):
                xy = np.asarray(segment)
                drawn = {"x": _numbers(xy[:, 0]), "y": _numbers(xy[:, 1]), "width": 1, "dash": "solid", "bar": True}
                yield {**_named(colour, "-", names), **drawn, **_id(part)}
        elif isinstance(part, PathCollection):
            offsets = np.asarray(part.get_offsets(), dtype=float)
            edges = _repeated(part.get_edgecolor(), part)
            for colour in dict.fromkeys(map(_hex, edges)):
                mine = np.array([_hex(edge) == colour for edge in edges])
                x, y = offsets[mine[: len(offsets)] if len(mine) > 1 else slice(None)].T
                yield {**_named(colour, "-", names), "x": _numbers(x), "y": _numbers(y), "symbol": "circle", "size": 6}
        elif isinstance(part, PolyCollection):
            for path in part.get_paths():
                x, y = np.asarray(path.vertices, dtype=float)[:-1].T
                colour = np.asarray(part.get_facecolor())[0]
                band = {"x": _numbers(x), "y": _numbers(y), "fill": True, "opacity": float(colour[3])}
                yield {**_named(colour[:3], "-", names), **band}


def _id(artist: Artist) -> dict[str, str]:
    label = str(artist.get_label())
    return {"id": label.removeprefix(IDENTIFIED)} if label.startswith(IDENTIFIED) else {}


def _repeated(colours: Any, part: Any) -> list[Any]:
    n = max(1, len(part.get_offsets()), len(part.get_paths()))
    return [colours[i % len(colours)] for i in range(n)] if len(colours) else []


def _level(axes: Axes, line: Line2D) -> dict[str, Any] | None:
    """Return a line across the whole panel, such as chance."""
    if line.get_transform() == axes.transData:
        return None
    x, y = (np.asarray(data, dtype=float).tolist() for data in (line.get_xdata(), line.get_ydata()))
    along = "y" if y[0] == y[-1] and x == [0, 1] else "x"
    return {"along": along, "at": (y if along == "y" else x)[0], "dashed": line.get_linestyle() != "-"}


def _named(colour: Any, dash: str, names: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """Return a colour, and the name of the legend's entry with this colour and, where several share it, this dash."""
    code = _hex(colour)
    entries = names.get(code, [])
    fitting = [name for its_dash, name in entries if its_dash == dash] or [name for _, name in entries]
    return {"colour": code, "name": fitting[0] if fitting else ""}


def _hex(colour: Any) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour)


def _numbers(values: Iterable[float] | Sequence[float]) -> list[float | None]:
    """Return plain numbers with `DIGITS` digits; null for NaN and infinity, which JSON does not have."""
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in map(float, values)]
