"""Colours and dashes of rules: hues by family, the same in all figures of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from throughtime.registry import ALGORITHMS
from throughtime.reports.cells import rule_family, rule_rank
from throughtime.reports.look import look

Colour = tuple[float, float, float]
PALETTE = (5, 7, 3, 9, 0, 1, 2, 4)
"""Indices into seaborn's colour-blind palette, without two that are too pale on white. The package's own rules have the
last four."""
HUES = {"algorithms": "#0173b2", "eligibility": "#cc78bc", "influence": "#d55e00", "presynaptic_trace": "#3aa7c9"}
"""Hue of the rules of a family (`Display.family`) without a colour of their own."""
DASHES = ("-", "--", "-.", ":")


class Style(NamedTuple):
    """The style of a line."""

    colour: Colour
    dash: str
    width: float = 1.6
    alpha: float = 1


PALE: Mapping[str, Any] = MappingProxyType({"dash": "-", "width": 3.4, "alpha": 0.3})
"""Changes of a style for published curves, behind ours."""


def rule_styles(rules: Iterable[str]) -> dict[str, Style]:
    """Return the line style of each rule, the same in all figures of a store.

    A registered colour is the same in all stores. The package's other rules have shades of the hue of their family, and
    variants of a registered rule shades of its colour, from light to dark in natural order, so that a numeric option
    reads as an ordered palette.
    """
    import seaborn
    from matplotlib.colors import to_rgb

    rules, palette = set(rules), seaborn.color_palette("colorblind")
    displays = ALGORITHMS.displays()
    coloured = {name: displays[name].colour for name in sorted(displays, key=rule_rank)}
    chosen = {rule: to_rgb(colour) for rule, colour in look().colours.items()}
    colours = {name: to_rgb(colour) for name, colour in coloured.items() if colour is not None} | chosen
    members = {name for name, display in displays.items() if display.family in HUES} - set(colours)
    others = sorted({rule_family(rule) for rule in rules} - set(colours) - members, key=rule_rank)
    colours |= {name: palette[PALETTE[i % len(PALETTE)]] for i, name in enumerate(others)}
    for family, hue in HUES.items():
        free = sorted((name for name in members if displays[name].family == family), key=rule_rank)
        colours |= dict(zip(free, _shades(to_rgb(hue), len(free), hue in coloured.values()), strict=True))
    for family, colour in list(colours.items()):
        variants = sorted({rule for rule in rules if rule_family(rule) == family} - {family}, key=rule_rank)
        colours |= dict(zip(variants, _shades(colour, len(variants), family in rules), strict=True))
    colours |= chosen
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
