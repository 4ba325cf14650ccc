"""How figures are drawn: for a screen, for a paper, or into an axis of the caller, with a width and colours."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from throughtime.errors import UsageError, suggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FigureStyle = Literal["screen", "paper"]
"""`screen`: title and notes inside the figure. `paper`: one or two columns wide, 8 points, title and caption in a text
file beside the figure."""
PAPER: Mapping[Any, Any] = MappingProxyType(
    {
        **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize"), 8),
        **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 8),
        **{"axes.linewidth": 0.6, "grid.linewidth": 0.5, "lines.markersize": 4},
    }
)
"""Settings of matplotlib for a paper."""


class Look(NamedTuple):
    """Settings of the caller for figures."""

    style: FigureStyle = "screen"
    width: float | None = None
    """Width in inches; None: that of the style."""
    colours: Mapping[str, str] = MappingProxyType({})
    """Colour of a rule by its label, in place of the registered one; also of a registered rule with variants."""
    axis: Axes | None = None
    """The axis of the only panel; None: a figure of its own."""

    @property
    def settings(self) -> Mapping[Any, Any]:
        """Settings of matplotlib."""
        return PAPER if self.style == "paper" else {}


SCREEN = Look()
_LOOK: contextvars.ContextVar[Look] = contextvars.ContextVar("look", default=SCREEN)


def look() -> Look:
    """Return the look of the figures that are drawn now."""
    return _LOOK.get()


@contextlib.contextmanager
def figure_look(chosen: Look) -> Iterator[None]:
    """Context manager: figures are drawn and saved with this look."""
    token = _LOOK.set(chosen)
    try:
        yield
    finally:
        _LOOK.reset(token)


def checked_colours(colours: Mapping[str, str], rules: Iterable[str]) -> Mapping[str, str]:
    """Return the colours of rules.

    Raises:
        UsageError: matplotlib does not know the colour, or no rule has the name.
    """
    from matplotlib.colors import is_color_like

    known = dict.fromkeys(rules)
    for rule, colour in colours.items():
        if rule not in known:
            raise UsageError(f'no rule "{rule}" in the results', hint=suggestion(rule, known))
        if not is_color_like(colour):
            raise UsageError(f'"{colour}" is not a colour', rule, "such as #d55e00 or tab:red")
    return colours
