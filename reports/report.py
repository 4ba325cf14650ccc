"""The report: tables, figures and the page of a results folder, made from its records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from throughtime.records.record import write_whole
from throughtime.records.store import Store, curve_damage
from throughtime.reports import figures, growth, three_ways
from throughtime.reports.alignment import alignment_by_group, alignment_over_training, alignment_table
from throughtime.reports.cells import groups, runs_of, slug
from throughtime.reports.drawing import Drawn, save
from throughtime.reports.growth_figure import growth_figures
from throughtime.reports.page import Figure, render
from throughtime.reports.recipes import draw_recipe, recipes
from throughtime.reports.tables import tables, write_table


def write_report(store: Store, out: Path, suites: Sequence[str] | None = None) -> Path:
    """Write `report.html`, `tables/` (text, Markdown, LaTeX, CSV) and `figures/` (PDF, SVG, PNG, CSV) into `out`.

    Args:
        store: where the records lie.
        out: made if it is not there; files of an earlier report are replaced one by one, each whole.
        suites: which to tell of; None: all that have records.

    Returns:
        Where the page is.

    Raises:
        UsageError: there are no records, or none of one of the suites.
    """
    runs = runs_of(store, suites)
    damaged = (curve_damage(Path(folder)) for folder in runs["folder"])
    broken = sorted([*store.broken, *filter(None, damaged)])
    cells = [key for key, _ in groups(runs, ["suite", "scale"])]
    aligned = [table for key in cells if (table := alignment_table(runs, *key)) is not None]
    made = [*tables(runs), *aligned, *growth.tables(runs), *three_ways.tables(runs)]
    for table in made:
        write_table(table, out / "tables")
    drawn = write_figures(runs, out / "figures")
    path = out / "report.html"
    write_whole(path, render(runs, store.records(), made, drawn, broken))
    return path


def write_figures(runs: pd.DataFrame, folder: Path) -> list[Figure]:
    """Draw and write (PDF, SVG, PNG, CSV) all that a frame of runs gives; of a figure that cannot be, the reason."""
    shown = []
    for (suite, scale), _ in groups(runs, ["suite", "scale"]):
        start = f"{slug(suite)}-{scale}"
        curves = figures.learning_curves(runs, suite, scale)
        shown.append(_figure(curves, folder, f"{start}-curves", f"Learning curves, {suite}, {scale}", figures.NO_CURVE))
        cost = figures.tradeoff(runs, suite, scale)
        shown.append(
            _figure(cost, folder, f"{start}-tradeoff", f"Result against cost, {suite}, {scale}", figures.NO_COST)
        )
        for name, draw in (("alignment", alignment_over_training), ("alignment-groups", alignment_by_group)):
            aligned = draw(runs, suite, scale)
            if aligned is not None:  # a suite that asks for no alignment has no place for it
                shown.append(_figure(aligned, folder, f"{start}-{name}", aligned.title, ""))
        for name, grown in growth_figures(runs, suite, scale).items():
            shown.append(_figure(grown, folder, f"{start}-growth-{name}", grown.title, ""))
        if suite in recipes():
            drawn = draw_recipe(suite, runs, scale)
            shown.append(_figure(drawn, folder, start, f"The paper's figure, {suite}, {scale}", figures.NO_CURVE))
    memory = figures.memory_against_steps(runs)
    shown.append(_figure(memory, folder, "memory-against-steps", "Memory against time steps", figures.NO_STEPS))
    return shown


def _figure(drawn: Drawn | None, folder: Path, name: str, title: str, reason: str) -> Figure:
    if drawn is None:
        return Figure(name, title, [reason])
    paths = {path.suffix: path for path in save(drawn.figure, drawn.data, folder, name)}
    svg, numbers = (paths[suffix].read_text(encoding="utf-8") for suffix in (".svg", ".csv"))
    return Figure(name, drawn.title, drawn.caption, svg, numbers)
