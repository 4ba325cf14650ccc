"""Commands on papers: `papers`, `verdicts` and `reproduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from throughtime.commands.run import run
from throughtime.commands.terminal import (
    NONE,
    JsonOption,
    OutOption,
    PaperOption,
    ResultsOption,
    ScaleOption,
    SourceOption,
    load_plugins,
    print_rows,
    print_stale,
)
from throughtime.records.store import DEFAULT_RESULTS
from throughtime.spec import SCALES

if TYPE_CHECKING:
    from throughtime.records.results import Results
    from throughtime.reports.papers.paper import Paper

OUT = Path("reports/out/papers")


def papers(paper: PaperOption = NONE, as_json: JsonOption = False) -> None:
    """List the papers: suites, number of targets, address."""
    from throughtime.paper_folders import paper_folders
    from throughtime.reports.papers.paper import load_paper

    load_plugins(NONE, paper)
    rows = []
    for loaded in map(load_paper, paper_folders()):
        suites = ", ".join(loaded.suites) or "—"
        rows.append(
            {"name": loaded.name, "suites": suites, "targets": len(loaded.file.targets)}
            | {"title": loaded.file.title, "link": loaded.link}
        )
    print_rows(rows, as_json)


def verdicts(
    name: Annotated[str | None, typer.Argument(help="Name of a paper; default: all.", metavar="PAPER")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    source: SourceOption = NONE,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write the figures and the page of each paper into it.", metavar="DIR", file_okay=False),
    ] = None,
    scale: ScaleOption = "laptop",
    paper: PaperOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Compare published values and claims with results; runs nothing but exact targets, which take seconds."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.paper_folders import paper_folders
    from throughtime.records.results import Results
    from throughtime.reports.papers.page import write_paper
    from throughtime.reports.papers.paper import judge, load_paper

    load_plugins(NONE, paper)
    add_source(*source)
    found = Results(results)
    print_stale(found)
    rows = []
    loaded_papers = [load_paper(name) for name in ([name] if name else paper_folders())]
    for loaded in loaded_papers:
        judged = judge(loaded, found)
        rows += [{"paper": loaded.name, **row._asdict()} for row in judged]
        if out is not None:
            write_paper(loaded, judged, found, scale, out)
    shown = ("paper", "item", "published", "ours", "n", "scale", "verdict", "reason")
    print_rows(rows if as_json else [{key: row[key] for key in shown} for row in rows], as_json)
    if committed := _committed(loaded_papers, found):
        print(
            f"committed runs that {results} lacks: {', '.join(committed)}; `throughtime baseline unpack {results}`",
            file=sys.stderr,
        )


def _committed(papers: list[Paper], found: Results) -> list[str]:
    """Return the suites of papers that have a committed baseline, and no run in a results folder."""
    from throughtime.records.baselines import baseline_path

    suites = [suite for paper in papers for suite in paper.suites]
    return [
        suite
        for suite in suites
        if any(baseline_path(suite, s).exists() and found.select(suite, s).frame.empty for s in SCALES)
    ]


def reproduce(
    name: Annotated[str, typer.Argument(help="Name of a paper.", metavar="PAPER")],
    scale: ScaleOption = "laptop",
    results: ResultsOption = DEFAULT_RESULTS,
    out: OutOption = OUT,
    paper: PaperOption = NONE,
    source: SourceOption = NONE,
) -> None:
    """Run what is missing of a paper, and write its verdicts, figures and page; exits with 1 if a run fails, or if a
    suite cannot run because its data are missing. The other suites run."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.errors import UsageError
    from throughtime.records.results import Results
    from throughtime.reports.papers.page import write_paper
    from throughtime.reports.papers.paper import judge, load_paper

    load_plugins(NONE, paper)
    add_source(*source)
    loaded, failed = load_paper(name), False
    for suite in loaded.suites:
        try:
            run(suite, scale=scale, results=results, paper=paper, source=source)
        except typer.Exit as end:
            if end.exit_code != 1:  # interrupted
                raise
            failed = True
        except UsageError as error:
            print(f"error: suite {suite} was not run: {error}", file=sys.stderr)
            failed = True
    found = Results(results)
    print_stale(found)
    print(write_paper(loaded, judge(loaded, found), found, scale, out))
    if failed:
        raise typer.Exit(1)
