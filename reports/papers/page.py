"""The page of a paper: verdicts, tables, figures, commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jinja2

from throughtime.records.results import Results
from throughtime.reports.drawing import save
from throughtime.reports.figures import learning_curves
from throughtime.reports.papers.paper import Paper, draw_paper, tables_of
from throughtime.reports.papers.verdicts import VerdictRow
from throughtime.whole_files import write_whole


def write_paper(paper: Paper, rows: Sequence[VerdictRow], results: Results, scale: str, out: Path) -> Path:
    """Write the figures and the page of a paper to a folder of its name; return the path of the page.

    Args:
        paper: the paper.
        rows: its verdicts.
        results: the runs to draw.
        scale: scale of the runs in the figures; verdicts name their own.
        out: the parent folder.
    """
    folder, figures = out / paper.name, []
    own = {f"{paper.name}-{name}": drawn for name, drawn in draw_paper(paper.folder, results, scale).items()}
    for name, drawn in (own | {suite: learning_curves(results, suite, scale) for suite in paper.file.curves}).items():
        if drawn is not None:
            paths = {path.suffix: path for path in save(drawn, folder, name)}
            figures.append((name, drawn.title, paths[".svg"].read_text(encoding="utf-8")))
    template = resources.files(__package__).joinpath("paper.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    judged, not_run = ([row for row in rows if (row.verdict == "not run here") is absent] for absent in (False, True))
    counts = ", ".join(f"{n} {verdict}" for verdict, n in Counter(row.verdict for row in rows).most_common())
    text = environment.from_string(template).render(
        {"paper": paper, "rows": rows, "figures": figures, "scale": scale},
        tables=tables_of(paper.folder, results, scale),
        judged=judged,
        not_run=not_run,
        counts=counts,
    )
    page = folder / "index.html"
    write_whole(page, text)
    return page
