"""The figures of a report as data: name, function that draws it, and what it needs from the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from throughtime.records.results import Results
from throughtime.reports.alignment_figure import alignment_by_group, alignment_over_training
from throughtime.reports.cells import groups, runs_of, slug
from throughtime.reports.drawing import Drawn
from throughtime.reports.figures import NO_CURVE, NO_STEPS, learning_curves, memory_against_steps
from throughtime.reports.growth_figure import growth_figures
from throughtime.reports.lengths_figure import length_figures
from throughtime.reports.option_figure import option_figures
from throughtime.reports.papers.paper import draw_paper, paper_of
from throughtime.reports.rule_marks import result_against_alignment
from throughtime.reports.tradeoff import NO_COST, tradeoff
from throughtime.reports.tuning_figure import tuning_figure


class NotDrawn(NamedTuple):
    """A figure for which the results have no data."""

    title: str
    reason: str


class SuiteFigure(NamedTuple):
    """A figure of each suite and scale, or several figures with names of their own."""

    name: str
    """End of the name of its files, after suite and scale."""
    draw: Callable[[Results, str, str], Drawn | Mapping[str, Drawn] | None]
    title: str = ""
    needs: str = ""
    """Why nothing is drawn, as the report says it; empty: the report says nothing, since few suites have such data."""


SUITE_FIGURES = (
    SuiteFigure("curves", learning_curves, "Learning curves", NO_CURVE),
    SuiteFigure("tradeoff", tradeoff, "Result against cost", NO_COST),
    SuiteFigure("option", option_figures),
    SuiteFigure("lengths", length_figures),
    SuiteFigure("alignment", alignment_over_training),
    SuiteFigure("alignment-groups", alignment_by_group),
    SuiteFigure("alignment-result", result_against_alignment),
    SuiteFigure("growth", growth_figures),
    SuiteFigure("tuning", tuning_figure),
)


def suites_of(results: Results) -> list[tuple[str, ...]]:
    """Return each suite and scale of the results, in reading order."""
    return [key for key, _ in groups(runs_of(results), ["suite", "scale"])]


def draw_figures(results: Results) -> dict[str, Drawn | NotDrawn]:
    """Draw all figures for which the results have data, by name; standard figures without data are `NotDrawn`."""
    drawn: dict[str, Drawn | NotDrawn] = {}
    for suite, scale in suites_of(results):
        for figure in SUITE_FIGURES:
            drawn.update(_draw(figure, results, suite, scale))
    papers = ((paper, scale) for suite, scale in suites_of(results) if (paper := paper_of(suite)) is not None)
    for paper, scale in dict.fromkeys(papers):
        for name, shown in draw_paper(paper, results, scale).items():
            drawn[f"{paper.name}-{name}-{scale}"] = shown  # a suite of this name has "<suite>-<scale>-<name>"
    memory = memory_against_steps(results)
    return drawn | {"memory-against-steps": memory or NotDrawn("Memory against time steps", NO_STEPS)}


def _draw(figure: SuiteFigure, results: Results, suite: str, scale: str) -> Iterator[tuple[str, Drawn | NotDrawn]]:
    name, drawn = f"{slug(suite)}-{scale}-{figure.name}", figure.draw(results, suite, scale)
    if isinstance(drawn, Drawn):
        yield name, drawn
    elif drawn is not None:
        yield from ((f"{name}-{own}", shown) for own, shown in drawn.items())
    elif figure.needs:
        yield name, NotDrawn(f"{figure.title}, {suite}, {scale}", figure.needs)
