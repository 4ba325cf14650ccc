"""Description of a matplotlib figure for plotly, so that the page draws the same panels with zoom and hover."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from throughtime.reports.drawing import IDENTIFIED

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

DIGITS = 5
"""Significant digits of a number."""
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
SYMBOLS = {
    **{"o": "circle", ".": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down"},
    **{"P": "cross", "X": "x", "x": "x-thin", "*": "star", "<": "triangle-left", ">": "triangle-right"},
    **{"|": "line-ns", "_": "line-ew"},
}


class _Entry(NamedTuple):
    """An entry of a legend."""

    alpha: float
    dash: str
    name: str


Names = dict[str, list[_Entry]]
"""Entries of a legend by colour."""


def described(figure: Figure) -> dict[str, Any]:
    """Describe the panels of a figure: for each its place in the grid, title, axes, traces, lines, texts, and
    labels of points.

    A trace has x, y, colour, dash, symbol, the name of the entry of the figure's legend that has its colour, and the id
    that `drawing.identified` gave its artist. A second legend explains symbols. An axis without a label has that of the
    figure. A figure with images, bars or arrows has no description: the page shows its picture.
    """
    if any(axes.images or axes.patches or any(map(_has_arrow, axes.texts)) for axes in figure.axes):
        return {}
    names = _legend_names(figure)
    panels = [_panel(axes, names) for axes in figure.axes]
    for panel in panels:
        panel["x"]["label"] = panel["x"]["label"] or figure.get_supxlabel()
        panel["y"]["label"] = panel["y"]["label"] or figure.get_supylabel()
    markers: list[Any] = [legend.legend_handles for legend in figure.legends[1:]]
    symbols = {SYMBOLS[m.get_marker()]: m.get_label().strip() for handles in markers for m in handles}
    return {"panels": panels, "columns": 1 + max(panel["column"] for panel in panels), "symbols": symbols}


def _has_arrow(text: Text) -> bool:
    return getattr(text, "arrow_patch", None) is not None


def _legend_names(figure: Figure) -> Names:
    """Return the entries of the first legend by their colour; black ones explain markers, not colours."""
    names: Names = {}
    for legend in figure.legends[:1]:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            dash = str(getattr(handle, "get_linestyle", lambda: "-")())
            colour = getattr(handle, "get_color", lambda: "black")()
            alpha = getattr(handle, "get_alpha", lambda: 1)() or 1
            names.setdefault(_hex(colour), []).append(_Entry(alpha, dash, text.get_text().strip()))
    return names


def _panel(axes: Axes, names: Names) -> dict[str, Any]:
    from matplotlib.text import Annotation

    place = axes.get_subplotspec()
    assert place is not None  # all panels are from `drawing.grid`
    return {
        "title": axes.get_title(loc="left"),
        "row": place.rowspan.start,
        "column": place.colspan.start,
        "x": _axis(axes.xaxis, axes.get_xlim()),
        "y": _axis(axes.yaxis, axes.get_ylim()),
        "traces": [*_lines(axes, names), *_collections(axes, names)],
        "levels": [level for line in axes.lines if (level := _level(axes, line)) is not None],
        "texts": [
            {"x": t.get_position()[0], "y": t.get_position()[1], "text": t.get_text(), "colour": _hex(t.get_color())}
            for t in axes.texts
            if t.get_transform() == axes.transAxes and t.get_text()
        ],
        "labels": [
            {"x": x, "y": y, "text": t.get_text()}
            for t in axes.texts
            if isinstance(t, Annotation) and t.get_text()
            for x, y in [_numbers(t.xy)]
        ],
    }


def _axis(axis: Axis, limits: tuple[float, float]) -> dict[str, Any]:
    from matplotlib.category import StrCategoryLocator
    from matplotlib.ticker import FixedLocator

    described: dict[str, Any] = {
        "label": axis.get_label_text(),
        "log": axis.get_scale() == "log",
        "range": _numbers(limits),
    }
    if isinstance(axis.get_major_locator(), FixedLocator | StrCategoryLocator):
        places = list(axis.get_ticklocs())
        described["ticks"] = [_numbers(places), axis.get_major_formatter().format_ticks(places)]
    return described


def _lines(axes: Axes, names: Names) -> Iterator[dict[str, Any]]:
    for line in axes.lines:
        # Values that are not numbers have numbers in the units of their axis.
        data = line.get_xdata(orig=False), line.get_ydata(orig=False)
        x, y = (np.atleast_1d(np.asarray(values, dtype=float)) for values in data)
        if line.get_transform() != axes.transData or not len(x):
            continue
        dash, marker, alpha = str(line.get_linestyle()), str(line.get_marker()), line.get_alpha() or 1
        hollow = _is_hollow(line.get_markerfacecolor())
        colour = line.get_markeredgecolor() if hollow and dash not in DASHES else line.get_color()
        trace = {
            **_named(colour, dash, names, alpha),
            **{"x": _numbers(x), "y": _numbers(y), "width": line.get_linewidth(), "opacity": alpha},
        }
        if dash in DASHES:
            trace["dash"] = DASHES[dash]
        trace |= _id(line)
        if line.get_drawstyle() == "steps-post":
            trace["shape"] = "hv"
        if marker in SYMBOLS:
            trace |= {"symbol": SYMBOLS[marker] + "-open" * hollow, "size": 1.4 * line.get_markersize()}
        yield trace


def _collections(axes: Axes, names: Names) -> Iterator[dict[str, Any]]:
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
            edges, faces = (_repeated(colours, part) for colours in (part.get_edgecolor(), part.get_facecolor()))
            looks = [(_hex(edge), _is_hollow(face)) for edge, face, _ in zip(edges, faces, offsets, strict=False)]
            for colour, hollow in dict.fromkeys(looks):
                x, y = offsets[[look == (colour, hollow) for look in looks]].T
                drawn = {"x": _numbers(x), "y": _numbers(y), "symbol": "circle" + "-open" * hollow, "size": 6}
                yield {**_named(colour, "-", names), **drawn}
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
    return [colours[i % len(colours)] for i in range(n)] if len(colours) else ["none"] * n


def _level(axes: Axes, line: Line2D) -> dict[str, Any] | None:
    """Return a line across the whole panel, such as chance."""
    if line.get_transform() == axes.transData:
        return None
    x, y = (np.asarray(data, dtype=float).tolist() for data in (line.get_xdata(), line.get_ydata()))
    along = "y" if y[0] == y[-1] and x == [0, 1] else "x"
    return {"along": along, "at": (y if along == "y" else x)[0], "dashed": line.get_linestyle() != "-"}


def _named(colour: Any, dash: str, names: Names, alpha: float = 1) -> dict[str, Any]:
    """Return a colour, and the name of the legend's entry with this colour; of several, that with this opacity, and of
    several with it, that with this dash."""
    code = _hex(colour)
    entries = names.get(code, [])
    entries = [entry for entry in entries if entry.alpha == alpha] or entries
    entries = [entry for entry in entries if entry.dash == dash] or entries
    return {"colour": code, "name": entries[0].name if entries else ""}


def _is_hollow(face: Any) -> bool:
    from matplotlib.colors import to_rgba

    return to_rgba(face) == (1, 1, 1, 1) or to_rgba(face)[3] == 0


def _hex(colour: Any) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour)


def _numbers(values: Iterable[float] | Sequence[float]) -> list[float | None]:
    """Return plain numbers with `DIGITS` digits; null for NaN and infinity, which JSON does not have."""
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in map(float, values)]
