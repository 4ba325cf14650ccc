"""The page: results, figures and tables in one file that needs no network."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup
from pydantic_core import to_json

from throughtime.records.results import Results
from throughtime.reports.cells import groups, runs_of, slug
from throughtime.reports.page.matrix import Matrix, matrix_of
from throughtime.reports.page.paper_verdicts import judged_papers
from throughtime.reports.page.runs import failures, merged, run_data
from throughtime.reports.page.table import table_data
from throughtime.reports.table import Table

PLOTLY = "plotly-basic.min.js"


class PageFigure(NamedTuple):
    """A figure for the page; without an image, `caption` gives the reason."""

    name: str
    title: str
    caption: Sequence[str]
    image: bytes = b""
    """WebP."""
    panels: Mapping[str, Any] = MappingProxyType({})
    """`interactive.described`."""
    pictures: bool = False
    """Whether its colours have a meaning that a dark page must not invert."""


class SuiteAnswer(NamedTuple):
    """The first that the page says of a suite."""

    matrix: Matrix
    figure: PageFigure | None


class Section(NamedTuple):
    """A part of the page: a suite at a scale, or what concerns several."""

    id: str
    title: str
    lines: list[str]
    """Counts and dates."""
    tables: list[Table]
    figures: list[PageFigure]


def render(
    results: Results,
    tables: Sequence[Table],
    figures: Sequence[PageFigure],
    out: Path,
    files: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Render the page as a string.

    Args:
        results: the runs to show.
        tables: their tables; those without rows are left out.
        figures: their figures.
        out: folder of the page.
        files: by their paths beside the page, the files that it contains for download.
    """
    runs = runs_of(results)
    answers = _answers(results, figures)
    shown = [figure for answer in answers if (figure := answer.figure)]
    sections = _sections(results, [table for table in tables if table.rows], [f for f in figures if f not in shown])
    records = [results.record(run) for run in runs["id"]]
    data = {
        "table": table_data(results, _suites(results)),
        "runs": [run_data(results, record, out) for record in records],
        "figures": {figure.name: figure.panels for figure in figures if figure.panels},
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(image=image, source=_source)
    return environment.from_string(_source("page.html")).render(
        title=", ".join(f"{suite} ({scale})" for suite, scale in _suites(results)),
        statuses=runs["status"].value_counts().to_dict(),
        newest=max(record.started for record in records),
        answers=answers,
        papers=judged_papers(results),
        sections=sections,
        failures=failures(runs),
        broken=sorted(results.broken),
        machines=merged(record.machine for record in records),
        versions=merged(record.versions for record in records),
        data=packed(to_json(data, fallback=str)),
        files=packed(to_json(dict(files))),
        downloads=bool(files),
        plotly=packed(_source(PLOTLY).encode()),
    )


def _suites(results: Results) -> list[tuple[str, ...]]:
    """Return each suite and scale, in the order in which they were first run."""
    first = {
        key: runs["started"].min()
        for key, runs in groups(runs_of(results)[["suite", "scale", "started"]], ["suite", "scale"])
    }
    return sorted(first, key=lambda key: first[key])


def _answers(results: Results, figures: Sequence[PageFigure]) -> list[SuiteAnswer]:
    """Return the matrix of each suite that has one, and its figure of the result against cost; the largest first."""
    named = {figure.name: figure for figure in figures if figure.image}
    answers = []
    for suite, scale in _suites(results):
        if (matrix := matrix_of(results, suite, scale)) is not None:
            answers.append(SuiteAnswer(matrix, named.get(f"{slug(suite)}-{scale}-tradeoff")))
    return sorted(
        answers, key=lambda answer: -sum(cell is not None for row in answer.matrix.rows for cell in row.cells)
    )


def _sections(results: Results, tables: Sequence[Table], figures: Sequence[PageFigure]) -> list[Section]:
    """Return a section for each suite, and one for the figures and tables that concern several."""
    sections, placed = [], set()
    runs = runs_of(results)[["suite", "scale", "status", "started"]]
    for suite, scale in _suites(results):
        suite_runs = runs[(runs["suite"] == suite) & (runs["scale"] == scale)]
        start = f"{slug(suite)}-{scale}"
        named: list[Table | PageFigure] = [*tables, *figures]
        mine = [item for item in named if item.name == start or item.name.startswith(f"{start}-")]
        placed |= {item.name for item in mine}
        counts = ", ".join(f"{n} {status}" for status, n in suite_runs["status"].value_counts().items())
        started = sorted(filter(None, suite_runs["started"]))
        dates = f", started from {started[0]} to {started[-1]}" if started else ""
        lines = [f"{len(suite_runs)} run{'s' * (len(suite_runs) > 1)}: {counts}{dates}."]
        mine_tables = [table for table in tables if table in mine]
        drawn = [figure for figure in figures if figure in mine]
        sections.append(Section(f"suite-{start}", f"{suite}, scale {scale}", lines, mine_tables, drawn))
    rest = ([table for table in tables if table.name not in placed], [f for f in figures if f.name not in placed])
    return [*sections, *([Section("all-suites", "All suites", [], *rest)] if any(rest) else [])]


def _source(name: str) -> Markup:
    """Return a file of this folder, which the page contains as it is."""
    return Markup(files("throughtime.reports.page").joinpath(name).read_text(encoding="utf-8"))


def packed(content: bytes) -> str:
    """Compress content for an element of the page; its script unpacks it."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def image(content: bytes) -> str:
    """Return a `data:` URL of a WebP image."""
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"
