"""The figures of a report as data: name, function that draws it, and what it needs from the results."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from throughtime.errors import UsageError, suggestion
from throughtime.records.results import Results
from throughtime.reports.alignment_figure import alignment_by_group, alignment_over_training
from throughtime.reports.cells import groups, runs_of, slug
from throughtime.reports.drawing import Drawn
from throughtime.reports.figures import NO_CURVE, NO_STEPS, learning_curves, memory_against_steps
from throughtime.reports.growth_figure import growth_figures
from throughtime.reports.lengths_figure import length_figures
from throughtime.reports.measure_figure import measure_figure
from throughtime.reports.option_figure import option_figures
from throughtime.reports.papers.paper import draw_paper, paper_of
from throughtime.reports.quantities import quantity
from throughtime.reports.rule_marks import result_against_alignment
from throughtime.reports.summaries import summarise
from throughtime.reports.tradeoff import NO_COST, tradeoff
from throughtime.reports.tuning_figure import tuning_figure


class NotDrawn(NamedTuple):
    """A figure for which the results have no data."""

    title: str
    reason: str


class SuiteFigure(NamedTuple):
    """A figure of each suite and scale, or several figures."""

    name: str
    """End of the name of its files, after suite and scale."""
    draw: Callable[[Results, str, str], Drawn | Mapping[str, Drawn] | None]
    title: str = ""
    needs: str = ""
    """Why nothing is drawn, as the report says it; empty: the report says nothing, since few suites have such data."""
    several: bool = False
    """Whether there are several figures, whose names begin with that of the one."""


SUITE_FIGURES = (
    SuiteFigure("curves", learning_curves, "Learning curves", NO_CURVE),
    SuiteFigure("tradeoff", tradeoff, "Result against cost", NO_COST),
    SuiteFigure("option", option_figures, several=True),
    SuiteFigure("lengths", length_figures, several=True),
    SuiteFigure("alignment", alignment_over_training),
    SuiteFigure("alignment-groups", alignment_by_group),
    SuiteFigure("alignment-result", result_against_alignment),
    SuiteFigure("growth", growth_figures, several=True),
    SuiteFigure("tuning", tuning_figure),
)

MEMORY = "memory-against-steps"
"""Name of the figure of the peak memory of several suites."""


def suites_of(results: Results) -> list[tuple[str, ...]]:
    """Return each suite and scale of the results, in reading order."""
    return [key for key, _ in groups(runs_of(results)[["suite", "scale"]], ["suite", "scale"])]


class Choice(NamedTuple):
    """Which figures are drawn."""

    only: Sequence[str] = ()
    """Names of figures, or patterns such as `quick-*-curves`; empty: all."""
    measure: str | None = None
    """Draw the figure of this measure for each suite, in the place of the standard figures."""

    def draws(self, name: str) -> bool:
        """Return whether a figure is drawn."""
        return not self.only or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.only)

    def may_draw(self, start: str) -> bool:
        """Return whether a figure whose name begins with `start` may be drawn."""
        fixed = [re.split(r"[*?[]", pattern)[0] for pattern in self.only]
        return not self.only or any(text.startswith(start) or start.startswith(text) for text in fixed)


STANDARD = Choice()


def draw_figures(
    results: Results, choice: Choice = STANDARD, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Drawn | NotDrawn]:
    """Draw the figures for which the results have data, by name; standard figures without data are `NotDrawn`.

    Args:
        results: the runs to draw.
        choice: which figures; by default all standard ones.
        tell: is called with what is drawn next.

    Raises:
        UsageError: no figure has one of the names of the choice, or no run has its measure.
    """
    drawn: dict[str, Drawn | NotDrawn] = {}
    known = {MEMORY}
    figures = SUITE_FIGURES if choice.measure is None else (_measure_figure(results, choice.measure),)
    for suite, scale in suites_of(results):
        for figure in figures:
            name = f"{slug(suite)}-{scale}-{figure.name}"
            known.add(name)
            if choice.draws(name) or (figure.several and choice.may_draw(name)):
                tell(f"{suite}, {scale}: {figure.name}")
                drawn.update(_draw(figure, results, suite, scale))
    if choice.measure is None:
        drawn |= _over_suites(results, choice, tell)
    for pattern in choice.only:
        if not fnmatch.filter(drawn, pattern):
            if fnmatch.filter(known, pattern):
                raise UsageError(f'the results have no data for the figure "{pattern}"')
            raise UsageError(f'no figure "{pattern}"', hint=suggestion(pattern, known | drawn.keys()))
    return {name: shown for name, shown in drawn.items() if choice.draws(name)}


def _measure_figure(results: Results, measure: str) -> SuiteFigure:
    """Return the figure of a measure; summarising it refuses a measure that no run has."""
    summarise(results.frame, measure)
    needs = f"Not drawn: no run has a value of {measure}."
    return SuiteFigure(slug(measure), partial(measure_figure, measure=measure), quantity(measure).title, needs)


def _over_suites(results: Results, choice: Choice, tell: Callable[[str], None]) -> dict[str, Drawn | NotDrawn]:
    """Draw the figures of papers, and of memory against time steps."""
    drawn: dict[str, Drawn | NotDrawn] = {}
    papers = ((paper, scale) for suite, scale in suites_of(results) if (paper := paper_of(suite)) is not None)
    for paper, scale in dict.fromkeys(papers):
        if choice.may_draw(f"{paper.name}-"):
            tell(f"paper {paper.name}, {scale}")
            for name, shown in draw_paper(paper, results, scale).items():
                drawn[f"{paper.name}-{name}-{scale}"] = shown  # a suite of this name has "<suite>-<scale>-<name>"
    if choice.draws(MEMORY):
        tell("memory against time steps")
        drawn[MEMORY] = memory_against_steps(results) or NotDrawn("Memory against time steps", NO_STEPS)
    return drawn


def _draw(figure: SuiteFigure, results: Results, suite: str, scale: str) -> Iterator[tuple[str, Drawn | NotDrawn]]:
    name, drawn = f"{slug(suite)}-{scale}-{figure.name}", figure.draw(results, suite, scale)
    if isinstance(drawn, Drawn):
        yield name, drawn
    elif drawn is not None:
        yield from ((f"{name}-{own}", shown) for own, shown in drawn.items())
    elif figure.needs:
        yield name, NotDrawn(f"{figure.title}, {suite}, {scale}", figure.needs)
