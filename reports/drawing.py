"""Common parts of all figures: colours, panels, axes, title, legend and notes, and saving.

Figures are made without pyplot, whose list of open figures and choice of a window system are global state.
"""

from __future__ import annotations

import functools
import io
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast

import pandas as pd

from throughtime.errors import UsageError
from throughtime.reports.cells import neuron_rank, one_line, rule_title
from throughtime.reports.formats import csv_of
from throughtime.reports.look import look
from throughtime.reports.styles import PALE, Style
from throughtime.whole_files import write_whole

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Alternatives = Mapping[str, Mapping[str, Mapping[str, float | Mapping[int, float]]]]
"""By title of the panel and name of the quantity: its value at each drawn x, by name in the legend; or its value at a
point, by the id of the point (`identified`)."""
IDENTIFIED = "_id:"
"""Start of the label of an artist with an id; a legend leaves out labels with an underscore."""
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "throughtime",  # else the ids in the SVG differ at every build
    "pdf.fonttype": 42,
    "text.parse_math": False,  # labels are the user's: a dollar is a dollar
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "grid.color": "0.9",
    "legend.frameon": False,
}
COLUMN_WIDTH, PAGE_WIDTH = 3.3, 6.9
"""Widths of a figure for a paper, in inches."""
METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {"Software": None},
}
"""File formats, with metadata to omit: with a date no two builds would be equal."""
MARKERS = "osD^vPX*<>"
STATIC = 0.69
"""Size of the page's pictures as a share of that of the PNG files."""
LEFT, NOTE_LINE, LEGEND_LINE = 0.12, 0.155, 0.19
"""Margin, height of a line of notes and height of a line of a legend, in inches."""


def identified(artist: Artist, name: str) -> None:
    """Give an artist an id, by which the page finds its values in `Drawn.alternatives`."""
    artist.set_label(f"{IDENTIFIED}{name}")


class Drawn(NamedTuple):
    """A figure with its data, title and caption."""

    figure: Figure
    data: pd.DataFrame
    title: str
    caption: list[str]
    alternatives: Alternatives = MappingProxyType({})
    """Other quantities for the horizontal axis, which the page offers."""

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, for notebooks."""
        content = io.BytesIO()
        self.figure.savefig(content, format="png", dpi=100)
        return content.getvalue()


def save(drawn: Drawn, folder: Path, name: str) -> list[Path]:
    """Write a figure as PDF, SVG and PNG, its data as CSV and, for a paper, title and caption as text; each file
    atomically. Return the paths."""
    paper = look().style == "paper"
    contents: dict[str, bytes | str] = dict(_files(drawn.figure, 300 if paper else 160))
    contents["csv"] = csv_of(drawn.data)
    if paper:
        contents["txt"] = "\n".join([f"{drawn.title}.", *drawn.caption]) + "\n"
    for ending, content in contents.items():
        write_whole(folder / f"{name}.{ending}", content)
    return [folder / f"{name}.{ending}" for ending in contents]


def _files(figure: Figure, dpi: float) -> Iterator[tuple[str, bytes]]:
    """Yield a figure in each format, with its ending.

    `savefig` would draw it twice and compute its layout twice for each; the layout is the larger part of the time.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    canvases: dict[str, Any] = {"pdf": FigureCanvasPdf, "svg": FigureCanvasSVG, "png": FigureCanvasAgg}
    layout, before, canvas = figure.get_layout_engine(), figure.dpi, figure.canvas
    try:
        for ending, canvas_type in canvases.items():
            content = io.BytesIO()
            figure.set_dpi(dpi)
            with matplotlib.rc_context(SETTINGS):
                getattr(canvas_type(figure), f"print_{ending}")(content, metadata=METADATA[ending])
            figure.set_layout_engine("none")  # the first format has placed everything
            yield ending, content.getvalue()
    finally:
        figure.set_dpi(before)
        figure.set_layout_engine(layout)
        figure.set_canvas(canvas)


def static_image(png: bytes) -> bytes:
    """Return a picture of a figure as WebP, in two thirds of its size, for the page where it runs no script."""
    from PIL import Image

    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        size = (round(picture.width * STATIC), round(picture.height * STATIC))
        picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(content, "webp", quality=80)
    return content.getvalue()


def styled(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator: draw with this package's matplotlib settings, and restore the caller's afterwards."""

    @functools.wraps(draw)
    def with_settings(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        import matplotlib
        import seaborn

        style: dict[Any, Any] = {**seaborn.axes_style("whitegrid"), **seaborn.plotting_context("paper")}
        with matplotlib.rc_context({**style, **SETTINGS, **look().settings}):
            return draw(*arguments, **named)

    return with_settings


def neuron_markers(neurons: Iterable[str]) -> dict[str, str]:
    """Return a marker for each neuron."""
    return {n: MARKERS[i % len(MARKERS)] for i, n in enumerate(sorted(set(neurons), key=neuron_rank))}


def grid(panels: int, columns: int, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, row by row; `shared` are keyword arguments of `Figure.subplots`.

    Raises:
        UsageError: it has several panels, and the caller gives one axis.
    """
    from matplotlib.figure import Figure

    if (axis := look().axis) is not None:
        if panels > 1:
            hint = "select one dataset and neuron: results.matching(dataset=[...], neuron=[...])"
            raise UsageError(f"the figure has {panels} panels, and the axis holds one", "axis", hint)
        return cast("Figure", axis.figure), [axis]
    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    if look().style == "paper":
        size = (COLUMN_WIDTH, 2.1 * rows) if columns == 1 else (PAGE_WIDTH, (2.1 if columns == 2 else 1.75) * rows)
    else:  # a single column is wider, so that title and legend fit
        size = (max(6.4, 3.1 * columns), 2.5 * rows + (0.5 if columns == 1 else 0))
    figure = Figure(figsize=(look().width or size[0], size[1]))
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel().tolist()
    for left_over in axes[panels:]:
        left_over.remove()
    return figure, axes[:panels]


def finish(
    figure: Figure, title: str, notes: Sequence[str], rules: dict[str, Style], markers: dict[str, str] | None = None
) -> None:
    """Place one legend for all panels above the panels and, except for a paper, title and notes above it; the figure
    grows accordingly. An axis of the caller has the legend alone."""
    if (axis := look().axis) is not None:
        axis.legend(handles=[handle for entries in _legends(rules, markers or {}) for handle in entries])
        return
    paper = look().style == "paper"
    width, height = figure.get_size_inches()
    if look().width is not None:
        width = look().width
    elif paper:
        width = COLUMN_WIDTH if width <= COLUMN_WIDTH else PAGE_WIDTH
    lines = [line for note in notes for line in textwrap.wrap(one_line(note), int(width * 16))]
    # Positions above the panels are in inches from the top.
    places, top = [], 0.06 if paper else 0.46 + NOTE_LINE * len(lines)
    for handles in _legends(rules, markers or {}):
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), int((width - 2 * LEFT) / (0.075 * longest + 0.6))))
        places.append((handles, columns, top))
        top += LEGEND_LINE * math.ceil(len(handles) / columns) + 0.03
    total = height + top
    figure.set_size_inches(width, total)
    figure.set_layout_engine("constrained", rect=(0.005, 0.005, 0.99, 0.99 - top / total), h_pad=0.08, w_pad=0.06)
    if not paper:
        figure.text(LEFT / width, 1 - 0.1 / total, title, va="top", fontsize=12, fontweight="bold")
        body = "\n".join(lines)
        figure.text(LEFT / width, 1 - 0.36 / total, body, va="top", fontsize=8, color="0.3", linespacing=1.35)
    for handles, columns, place in places:
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(LEFT / width, 1 - place / total),
            ncols=columns,
            fontsize=8 if paper else 9,
            borderpad=0,
            borderaxespad=0,
            labelspacing=0.25,
            handlelength=2.2,
            columnspacing=1.4,
        )


def _legends(rules: dict[str, Style], markers: dict[str, str]) -> list[list[Line2D]]:
    """Return the entries of the legends: one of the lines, if there are rules, and one of the markers, if there are."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=s.colour, ls=s.dash, lw=s.width + 0.6, alpha=s.alpha, label=_legend(rule_title(rule)))
        for rule, s in rules.items()
    ]
    points = [Line2D([], [], color="0.35", marker=m, ls="", ms=5.5, label=_legend(n)) for n, m in markers.items()]
    return [entries for entries in (lines, points) if entries]


def star(panel: Axes, x: float, y: float, colour: tuple[float, float, float] | str, size: float = 10) -> None:
    """Mark a cell whose tuning chose a value at the edge of its grid."""
    panel.plot([x], [y], "*", color=colour, ms=size, mec="white", mew=0.5, zorder=6)


def scale_axis(axis: XAxis | YAxis, values: pd.Series, ratio: float) -> None:
    """Make an axis logarithmic, with plain numbers as labels, if all values are positive and max / min > `ratio`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = values.min(), values.max()
    if not (low > 0 and high / low > ratio):
        return
    # A range of few decades has few powers of ten to label.
    subs = (1, 2, 5) if high / low < 100 else (1,)
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())  # the style shows no ticks, and hundreds of them take long


def scaled(label: str, axis: XAxis | YAxis) -> str:
    """Return the label of an axis with its scale, such as `peak memory (MiB), log scale`."""
    return f"{label}, {axis.get_scale()} scale"


def _legend(label: str) -> str:
    # matplotlib omits labels that begin with an underscore from legends.
    return f" {one_line(label)}" if label.startswith("_") else one_line(label)


def plot_curves(panel: Axes, data: pd.DataFrame, x: str, y: str, by: str, styles: Mapping[str, Style]) -> None:
    """Draw a line for each run, in front of the published ones, which are wide and pale.

    Args:
        panel: the axes.
        data: rows of curves with the columns `run`, `x`, `y` and `by`, and with published curves `source`, `ours` or
            `published`.
        x: column of the horizontal axis.
        y: column of the vertical axis.
        by: column whose values have a style.
        styles: the style of each of these values.
    """
    sources = data["source"] if "source" in data else pd.Series("ours", data.index)
    for source in ("published", "ours"):
        for (name, _), line in data[sources == source].groupby([by, "run"], sort=False):
            style = styles[name]._replace(**PALE) if source == "published" else styles[name]
            panel.plot(line[x], line[y], style.dash, color=style.colour, lw=style.width, alpha=style.alpha)
