"""Commands on papers: `papers`, `verdicts` and `reproduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from throughtime.commands import terminal
from throughtime.commands.run import run
from throughtime.printing import print_text
from throughtime.records.store import DEFAULT_RESULTS
from throughtime.spec import Scale

if TYPE_CHECKING:
    from throughtime.records.results import Results
    from throughtime.reports.papers.paper import Paper

OUT = Path("reports/out/papers")


def papers(paper: terminal.PaperOption = terminal.NONE, as_json: terminal.JsonOption = False) -> None:
    """List the papers: suites, number of targets, address; and those that stay closed, with the reason."""
    from throughtime.paper_folders import paper_folders
    from throughtime.reports.papers.paper import closed_papers, load_paper

    terminal.load_plugins(terminal.NONE, paper)
    rows: list[dict[str, Any]] = []
    for loaded in map(load_paper, paper_folders()):
        suites = ", ".join(loaded.suites) or "—"
        rows.append(
            {"name": loaded.name, "suites": suites, "targets": len(loaded.file.targets)}
            | {"title": loaded.file.title, "link": loaded.link}
        )
    closed = [{"name": c.name, "closed": c.reason, "title": c.title, "link": c.link} for c in closed_papers()]
    if as_json:
        terminal.print_rows([*({**row, "closed": None} for row in rows), *closed], as_json)
    else:
        terminal.print_rows(rows, as_json)
        print_text("")
        terminal.print_rows(closed, as_json)


def verdicts(
    name: Annotated[str | None, typer.Argument(help="Name of a paper; default: all.", metavar="PAPER")] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Folder of results of your own; a cell that it has is judged by it, and not by the committed runs.",
            metavar="DIR",
        ),
    ] = None,
    source: terminal.SourceOption = terminal.NONE,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write the figures and the page of each paper into it.", metavar="DIR", file_okay=False),
    ] = None,
    scale: Annotated[Scale | None, typer.Option(help="With --out: scale of its figures; default: laptop.")] = None,
    compute: Annotated[
        bool, typer.Option("--compute", help="Compute stored values again; exits with 1 if one differs.")
    ] = False,
    store: Annotated[
        bool, typer.Option("--store", help="Also write the values that differ to the papers' folders.")
    ] = False,
    paper: terminal.PaperOption = terminal.NONE,
    form: Annotated[Literal["text", "markdown"], typer.Option("--format", help="Output format.")] = "text",
    as_json: terminal.JsonOption = False,
) -> None:
    """Judge published values and claims by the committed runs; without PAPER, one screen for all papers."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.errors import Faults
    from throughtime.paper_folders import paper_folders
    from throughtime.records.files import RECORD
    from throughtime.reports.papers.court import court_markdown, court_text
    from throughtime.reports.papers.paper import judge, load_paper
    from throughtime.reports.papers.stored import computing
    from throughtime.reports.papers.stored import store as store_values

    if out is None:
        terminal.refuse_unused("without --out", scale=scale)
    if as_json:
        terminal.refuse_unused("with --json", format=None if form == "text" else form)
    terminal.load_plugins(terminal.NONE, paper)
    add_source(*source)
    if results is not None and not any(results.glob(f"*/*/{RECORD}")):
        print_text(f"no run in {results}: the committed runs alone are judged", file=sys.stderr)
    judged, evidence, faults = {}, [], Faults()
    with computing() as comparisons:
        for folder in [name] if name else paper_folders():
            with faults.collected():  # a fault in one paper leaves the verdicts of the others
                loaded = load_paper(folder)
                evidence.append(runs := _runs(results, loaded))
                judged[loaded.name] = judge(loaded, runs, compute or store)
                if out is not None:
                    from throughtime.reports.papers.page import write_paper

                    write_paper(loaded, judged[loaded.name], runs, scale or "laptop", out)
    if not judged:
        faults.raise_all()
    terminal.print_stale(*evidence)
    if as_json or (name and form == "text"):
        rows = [{"paper": paper, **row._asdict()} for paper, verdicts in judged.items() for row in verdicts]
        shown = ("item", "published", "ours", "n", "interval", "scale", "verdict", "lean", "missing", "reason")
        terminal.print_rows(rows if as_json else [{key: row[key] for key in shown} for row in rows], as_json)
    else:
        print_text((court_text if form == "text" else court_markdown)(judged))
    differing = [comparison for comparison in comparisons if comparison.differs]
    if store:
        store_values(comparisons)
    elif compute:
        for comparison in differing:
            print_text(f"differs: {comparison}", file=sys.stderr)
        print_text(f"{len(comparisons)} values computed, {len(differing)} differ", file=sys.stderr)
    faults.raise_all()
    if differing and compute and not store:
        raise typer.Exit(1)


def _runs(results: Path | None, paper: Paper) -> Results:
    """Return the committed runs of a paper's cells, and those of a results folder in their place."""
    from throughtime.records.committed import CommittedStore
    from throughtime.records.results import Results

    runs = Results(CommittedStore(results), paper.evidence)
    terminal.print_broken(runs)
    return runs


def reproduce(
    name: Annotated[str, typer.Argument(help="Name of a paper.", metavar="PAPER")],
    scale: terminal.ScaleOption = "laptop",
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    out: terminal.OutOption = OUT,
    paper: terminal.PaperOption = terminal.NONE,
    source: terminal.SourceOption = terminal.NONE,
) -> None:
    """Run what is missing of a paper, and write its verdicts, figures and page; exits with 1 if a run fails, or if a
    suite cannot run because its data are missing. The other suites run."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.errors import UsageError
    from throughtime.reports.papers.page import write_paper
    from throughtime.reports.papers.paper import judge, load_paper

    terminal.load_plugins(terminal.NONE, paper)
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
            print_text(f"error: suite {suite} was not run: {error}", file=sys.stderr)
            failed = True
    runs = _runs(results, loaded)
    terminal.print_stale(runs)
    print_text(write_paper(loaded, judge(loaded, runs), runs, scale, out))
    if failed:
        raise typer.Exit(1)
