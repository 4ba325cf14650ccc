"""The report of a results folder: tables, figures and an HTML page, from its records alone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from throughtime.collector import gc_paused
from throughtime.records.results import Results
from throughtime.reports import growth, three_ways
from throughtime.reports.alignment_table import alignment_table
from throughtime.reports.cells import slug
from throughtime.reports.drawing import Drawn, save, static_image
from throughtime.reports.figure_registry import STANDARD, Choice, NotDrawn, draw_figures, suites_of
from throughtime.reports.formats import write_table
from throughtime.reports.look import SCREEN, Look, checked_colours, figure_look
from throughtime.reports.page.interactive import described
from throughtime.reports.page.render import PageFigure, render
from throughtime.reports.rule_matrix import rule_table
from throughtime.reports.table import Table
from throughtime.reports.tables import tables
from throughtime.whole_files import write_whole

MOST_RUNS = 1000
"""Largest number of runs of a report with figures, and of a page with long tables and files for download."""
MOST_LINES = 100
"""Largest number of lines of a table on the page of more than `MOST_RUNS` runs."""


def write_report(results: Results, out: Path, tell: Callable[[str], None] = lambda _: None) -> Path:
    """Write `report.html`, `tables/` (text, Markdown, LaTeX, CSV) and `figures/` (PDF, SVG, PNG, CSV) into `out`.

    Of more than `MOST_RUNS` runs no figures are drawn, and the page, without tables of more than `MOST_LINES` lines,
    names the command that draws those of a suite.

    Args:
        results: the runs to report.
        out: output folder, created if necessary; files of an earlier report are replaced atomically.
        tell: is called with what is written next.

    Returns:
        The path of the page.
    """
    large = len(results.runs) > MOST_RUNS
    with gc_paused():
        tell("tables")
        written = [table for table in all_tables(results) if table.rows]  # a suite of costs alone has no metric
        paths = [path for table in written for path in write_table(table, out / "tables")]
    figures: Mapping[str, Drawn | NotDrawn] = (
        left_out(results) if large else write_figures(results, out / "figures", tell=tell)
    )
    with gc_paused():
        tell("page")
        drawn = [_on_page(name, figure, out / "figures") for name, figure in figures.items()]
        paths += [out / "figures" / f"{figure.name}.csv" for figure in drawn if figure.image]
        if large:
            written, paths = [table for table in written if len(table.rows) <= MOST_LINES], []
        files = {path.relative_to(out).as_posix(): path.read_text("utf-8") for path in paths if path.suffix != ".txt"}
        for run in results.runs:
            results.curve(run)  # lists a damaged curve in `broken` even if no figure needs it
        path = out / "report.html"
        write_whole(path, render(results, written, drawn, out, files))
    return path


def left_out(results: Results) -> dict[str, NotDrawn]:
    """Return what the report of more than `MOST_RUNS` runs says in place of each suite's figures."""
    why = f"Not drawn, because there are more than {MOST_RUNS} runs."
    commands = {
        f"{slug(suite)}-{scale}-figures": shlex.join(["throughtime", "figure", suite, "--results", str(results.folder)])
        for suite, scale in suites_of(results)
    }
    return {
        name: NotDrawn("Figures", f"{why} This draws them: {command}. Tables of more than {MOST_LINES} lines: tables/.")
        for name, command in commands.items()
    }


def all_tables(results: Results) -> list[Table]:
    """Return all tables for which the results have data."""
    suite_tables = [tabulate(results, *key) for tabulate in (rule_table, alignment_table) for key in suites_of(results)]
    present = [table for table in suite_tables if table is not None]
    return [*tables(results), *present, *growth.tables(results), *three_ways.tables(results)]


def write_figures(
    results: Results,
    folder: Path,
    look: Look = SCREEN,
    choice: Choice = STANDARD,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Drawn | NotDrawn]:
    """Draw figures, write each as PDF, SVG, PNG and CSV, and return them by name.

    Args:
        results: the runs to draw.
        folder: output folder, created if necessary.
        look: for a paper, figures are 3.3 or 6.9 inches wide, with 8 points, and title and caption in a text file.
        choice: which figures.
        tell: is called with what is drawn next.

    Raises:
        UsageError: as `draw_figures`, and a rule or colour of the look is unknown.
    """
    checked_colours(look.colours, results.frame["rule"])
    with figure_look(look):
        figures = draw_figures(results, choice, tell)
        for name, drawn in figures.items():
            if isinstance(drawn, Drawn):
                save(drawn, folder, name)
    return figures


def _on_page(name: str, drawn: Drawn | NotDrawn, folder: Path) -> PageFigure:
    """Return a figure for the page; its data are in the CSV file of its name."""
    if isinstance(drawn, NotDrawn):
        return PageFigure(name, drawn.title, [drawn.reason])
    png = (folder / f"{name}.png").read_bytes()
    panels = described(drawn.figure)
    for panel in panels.get("panels", ()):
        panel["choices"] = drawn.alternatives.get(panel["title"], {})
    pictures = any(axes.images for axes in drawn.figure.axes)
    return PageFigure(name, drawn.title, drawn.caption, static_image(png), panels, pictures)
