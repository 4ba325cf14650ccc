"""Common parts of all figures: colours, panels, axes, title, legend and notes, and saving.

Figures are made without pyplot, whose list of open figures and choice of a window system are global state.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import io
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, ParamSpec, TypeVar

import pandas as pd

from throughtime.registry import ALGORITHMS
from throughtime.reports.cells import neuron_rank, one_line, rule_family, rule_rank, rule_title
from throughtime.reports.formats import csv_of
from throughtime.whole_files import write_whole

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Colour = tuple[float, float, float]
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
FigureStyle = Literal["screen", "paper"]
"""`screen`: title and notes inside the figure. `paper`: one or two columns wide, 8 points, title and caption in a text
file beside the figure."""
PAPER: dict[Any, Any] = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize"), 8),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 8),
    **{"axes.linewidth": 0.6, "grid.linewidth": 0.5, "lines.markersize": 4},
}
COLUMN_WIDTH, PAGE_WIDTH = 3.3, 6.9
"""Widths of a figure for a paper, in inches."""
_STYLE: contextvars.ContextVar[FigureStyle] = contextvars.ContextVar("style", default="screen")
METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {"Software": None},
}
"""File formats, with metadata to omit: with a date no two builds would be equal."""
PALETTE = (3, 9, 5, 7, 0, 1, 2, 4)
"""Indices into seaborn's colour-blind palette, without two that are too pale on white. The package's own rules have the
last four."""
DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX*<>"
LEFT, NOTE_LINE, LEGEND_LINE = 0.12, 0.155, 0.19
"""Margin, height of a line of notes and height of a line of a legend, in inches."""


class Style(NamedTuple):
    """The style of a line."""

    colour: Colour
    dash: str
    width: float = 1.6
    alpha: float = 1


PALE: Mapping[str, Any] = MappingProxyType({"dash": "-", "width": 3.4, "alpha": 0.3})
"""Changes of a style for published curves, behind ours."""


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


@contextlib.contextmanager
def figure_style(style: FigureStyle) -> Iterator[None]:
    """Context manager: figures are drawn and saved for a screen or for a paper."""
    token = _STYLE.set(style)
    try:
        yield
    finally:
        _STYLE.reset(token)


def save(drawn: Drawn, folder: Path, name: str) -> list[Path]:
    """Write a figure as PDF, SVG and PNG, its data as CSV and, for a paper, title and caption as text; each file
    atomically. Return the paths."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    paper = _STYLE.get() == "paper"
    paths = []
    for ending, metadata in METADATA.items():
        content = io.BytesIO()
        with matplotlib.rc_context(SETTINGS):
            drawn.figure.savefig(content, format=ending, metadata=metadata, dpi=300 if paper else 160)
        paths.append(folder / f"{name}.{ending}")
        write_whole(paths[-1], content.getvalue())
    texts = {"csv": csv_of(drawn.data)}
    if paper:
        texts["txt"] = "\n".join([f"{drawn.title}.", *drawn.caption]) + "\n"
    for ending, text in texts.items():
        paths.append(folder / f"{name}.{ending}")
        write_whole(paths[-1], text)
    return paths


def static_image(figure: Figure) -> bytes:
    """Return a figure as WebP without loss, for the page."""
    import matplotlib

    content = io.BytesIO()
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(content, format="webp", dpi=110, pil_kwargs={"lossless": True, "method": 4})
    return content.getvalue()


def styled(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator: draw with this package's matplotlib settings, and restore the caller's afterwards."""

    @functools.wraps(draw)
    def with_settings(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        import matplotlib
        import seaborn

        style: dict[Any, Any] = {**seaborn.axes_style("whitegrid"), **seaborn.plotting_context("paper")}
        with matplotlib.rc_context({**style, **SETTINGS, **(PAPER if _STYLE.get() == "paper" else {})}):
            return draw(*arguments, **named)

    return with_settings


def rule_styles(rules: Iterable[str]) -> dict[str, Style]:
    """Return the line style of each rule, the same in all figures of a store.

    A registered colour is the same in all stores. Variants of a registered rule have shades of its colour, from light
    to dark in natural order, so that a numeric option reads as an ordered palette.
    """
    import seaborn
    from matplotlib.colors import to_rgb

    rules, palette = set(rules), seaborn.color_palette("colorblind")
    displays = ALGORITHMS.displays()
    coloured = {name: displays[name].colour for name in sorted(displays, key=rule_rank)}
    colours = {name: to_rgb(colour) for name, colour in coloured.items() if colour is not None}
    families = sorted({rule_family(rule) for rule in rules} - set(colours), key=rule_rank)
    colours |= {family: palette[PALETTE[i % len(PALETTE)]] for i, family in enumerate(families)}
    for family, colour in list(colours.items()):
        variants = sorted({rule for rule in rules if rule_family(rule) == family} - {family}, key=rule_rank)
        colours |= dict(zip(variants, _shades(colour, len(variants), family in rules), strict=True))
    # The curves of rules with the same gradient coincide: dashes let the lower line show through, in grey print too.
    return {
        rule: Style(colour, DASHES[(i + i // len(PALETTE)) % len(DASHES)])
        for i, (rule, colour) in enumerate(colours.items())
    }


def _shades(colour: Colour, n: int, taken: bool) -> list[Colour]:
    """Return n shades of a colour, from light to dark, without the colour itself if it is taken."""
    if n == 1 and not taken:
        return [colour]
    places = [
        -0.55 + 1.0 * i / max(1, n - 1 + taken) for i in range(n + taken)
    ]  # below 0: share of white; above: black
    if taken:
        places.remove(min(places, key=abs))
    return [_mixed(colour, place) for place in places]


def _mixed(colour: Colour, share: float) -> Colour:
    end = 1.0 if share < 0 else 0.0
    red, green, blue = (part + abs(share) * (end - part) for part in colour)
    return red, green, blue


def neuron_markers(neurons: Iterable[str]) -> dict[str, str]:
    """Return a marker for each neuron."""
    return {n: MARKERS[i % len(MARKERS)] for i, n in enumerate(sorted(set(neurons), key=neuron_rank))}


def grid(panels: int, columns: int, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, row by row; `shared` are keyword arguments of `Figure.subplots`."""
    from matplotlib.figure import Figure

    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    if _STYLE.get() == "paper":
        size = (COLUMN_WIDTH, 2.1 * rows) if columns == 1 else (PAGE_WIDTH, (2.1 if columns == 2 else 1.75) * rows)
    else:  # a single column is wider, so that title and legend fit
        size = (max(6.4, 3.1 * columns), 2.5 * rows + (0.5 if columns == 1 else 0))
    figure = Figure(figsize=size)
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel().tolist()
    for left_over in axes[panels:]:
        left_over.remove()
    return figure, axes[:panels]


def finish(
    figure: Figure, title: str, notes: Sequence[str], rules: dict[str, Style], markers: dict[str, str] | None = None
) -> None:
    """Place one legend for all panels above the panels and, except for a paper, title and notes above it; the figure
    grows accordingly."""
    paper = _STYLE.get() == "paper"
    width, height = figure.get_size_inches()
    if paper:
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


def scale_axis(axis: XAxis | YAxis, values: pd.Series, ratio: float) -> None:
    """Make an axis logarithmic, with plain numbers as labels, if all values are positive and max / min > `ratio`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = values.min(), values.max()
    if not (low > 0 and high / low > ratio):
        return
    # A range of few decades has few powers of ten to label.
    subs = (1, 2, 5) if high / low < 100 else (1,)
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


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
