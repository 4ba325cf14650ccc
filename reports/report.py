"""The report of a results folder: tables, figures and an HTML page, from its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from throughtime.records.results import Results
from throughtime.reports import figures, growth, three_ways
from throughtime.reports.alignment_figure import alignment_by_group, alignment_over_training
from throughtime.reports.alignment_table import alignment_table
from throughtime.reports.cells import groups, runs_of, slug
from throughtime.reports.drawing import Drawn, Look, looking, save, static_image
from throughtime.reports.formats import write_table
from throughtime.reports.growth_figure import growth_figures
from throughtime.reports.option_figure import option_figures
from throughtime.reports.page.interactive import described
from throughtime.reports.page.render import Figure, render
from throughtime.reports.papers.paper import draw_paper, paper_of
from throughtime.reports.rule_comparison import rule_table
from throughtime.reports.rule_marks import result_against_alignment, result_against_memory
from throughtime.reports.table import Table
from throughtime.reports.tables import tables
from throughtime.reports.tradeoff import NO_COST, tradeoff
from throughtime.reports.tuning_figure import tuning_figure
from throughtime.whole_files import write_whole

FURTHER = {
    "marks": result_against_memory,
    "alignment": alignment_over_training,
    "alignment-groups": alignment_by_group,
    "alignment-result": result_against_alignment,
}
"""Figures of a suite and scale that are left out where the results have no data for them, by the end of their name."""


class NotDrawn(NamedTuple):
    """A figure for which the results have no data."""

    title: str
    reason: str


def write_report(results: Results, out: Path) -> Path:
    """Write `report.html`, `tables/` (text, Markdown, LaTeX, CSV) and `figures/` (PDF, SVG, PNG, CSV) into `out`.

    Args:
        results: the runs to report.
        out: output folder, created if necessary; files of an earlier report are replaced atomically.

    Returns:
        The path of the page.
    """
    written = [table for table in all_tables(results) if table.rows]  # a suite that measures costs alone has no metric
    for table in written:
        write_table(table, out / "tables")
    drawn = [_on_page(name, of, out / "figures") for name, of in write_figures(results, out / "figures").items()]
    for run in results.frame["id"]:
        results.curve(run)  # lists a damaged curve in `broken` even if no figure needs it
    path = out / "report.html"
    write_whole(path, render(results, written, drawn, out))
    return path


def all_tables(results: Results) -> list[Table]:
    """Return all tables for which the results have data."""
    of_suites = [tabulate(results, *key) for tabulate in (rule_table, alignment_table) for key in _suites(results)]
    found = [table for table in of_suites if table is not None]
    return [*tables(results), *found, *growth.tables(results), *three_ways.tables(results)]


def write_figures(results: Results, folder: Path, look: Look = "screen") -> dict[str, Drawn | NotDrawn]:
    """Draw all figures, write each as PDF, SVG, PNG and CSV, and return them by name.

    Args:
        results: the runs to draw.
        folder: output folder, created if necessary.
        look: `screen`, or `paper`: 3.3 or 6.9 inches wide, 8 points, with title and caption in a text file.
    """
    with looking(look):
        found = draw_figures(results)
        for name, drawn in found.items():
            if isinstance(drawn, Drawn):
                save(drawn, folder, name)
    return found


def draw_figures(results: Results) -> dict[str, Drawn | NotDrawn]:
    """Draw all figures for which the results have data, by name; standard figures without data are `NotDrawn`."""
    found: dict[str, Drawn | NotDrawn] = {}
    for suite, scale in _suites(results):
        start, where = f"{slug(suite)}-{scale}", f"{suite}, {scale}"
        curves = figures.learning_curves(results, suite, scale)
        found[f"{start}-curves"] = curves or NotDrawn(f"Learning curves, {where}", figures.NO_CURVE)
        cost = tradeoff(results, suite, scale)
        found[f"{start}-tradeoff"] = cost or NotDrawn(f"Result against cost, {where}", NO_COST)
        for name, against in option_figures(results, suite, scale).items():
            found[f"{start}-option-{name}"] = against
        for name, draw in FURTHER.items():
            if (shown := draw(results, suite, scale)) is not None:  # most suites measure no alignment
                found[f"{start}-{name}"] = shown
        for name, grown in growth_figures(results, suite, scale).items():
            found[f"{start}-growth-{name}"] = grown
        if (tuned := tuning_figure(results, suite, scale)) is not None:  # the trials of a tuning
            found[f"{start}-tuning"] = tuned
    for paper, scale in dict.fromkeys((paper_of(suite), scale) for suite, scale in _suites(results)):
        for name, shown in draw_paper(paper, results, scale).items() if paper else ():
            found[f"{paper}-{name}-{scale}"] = shown  # a suite of this name has "<suite>-<scale>-<name>"
    memory = figures.memory_against_steps(results)
    found["memory-against-steps"] = memory or NotDrawn("Memory against time steps", figures.NO_STEPS)
    return found


def _suites(results: Results) -> list[tuple[str, ...]]:
    """Return each suite and scale of the results, in reading order."""
    return [key for key, _ in groups(runs_of(results), ["suite", "scale"])]


def _on_page(name: str, drawn: Drawn | NotDrawn, folder: Path) -> Figure:
    """Return a figure for the page; its data are in the CSV file of its name."""
    if isinstance(drawn, NotDrawn):
        return Figure(name, drawn.title, [drawn.reason])
    numbers = (folder / f"{name}.csv").read_text(encoding="utf-8")
    panels = described(drawn.figure)
    for panel in panels.get("panels", ()):
        panel["choices"] = drawn.choices.get(panel["title"], {})
    pictures = any(axes.images for axes in drawn.figure.axes)
    return Figure(name, drawn.title, drawn.caption, static_image(drawn.figure), numbers, panels, pictures)
