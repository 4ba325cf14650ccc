"""The command line. Everything heavy is imported inside the commands, so that `--help` answers at once.

Exit codes: 0 fine; 1 a run failed, or something could not be written; 2 wrong use.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from throughtime.errors import UsageError
from throughtime.spec import Rerun, Scale
from throughtime.store import DEFAULT_RESULTS

app = typer.Typer(
    help="Benchmark and reproduction suite for learning rules of spiking networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Datasets: where they come from, and fetching them.", no_args_is_help=True)
app.add_typer(data_app, name="data")


SuiteArgument = Annotated[str, typer.Argument(help="Name of a suite, or path of a suite's YAML.", metavar="SUITE")]
ScaleOption = Annotated[Scale, typer.Option(help="Size: tiny (seconds), laptop (minutes), paper (the authors').")]
ResultsOption = Annotated[Path, typer.Option(help="Folder of results.", metavar="DIR")]
PluginOption = Annotated[
    list[Path],
    typer.Option("--plugin", help="Python file that registers components; repeatable.", metavar="FILE"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
SourceOption = Annotated[
    list[Path], typer.Option("--source", help="Folder to look for datasets in; repeatable.", metavar="DIR")
]
NONE: list[Path] = []


@app.command("ls")
def list_components(
    kind: Annotated[str | None, typer.Argument(help="algorithms, neurons, networks, datasets or suites.")] = None,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """List what is registered: name, one line, origin; `ls algorithms`: what each rule claims, and its page."""
    from throughtime.errors import suggestion
    from throughtime.registry import REGISTRIES
    from throughtime.suite import suite_names, suite_summary

    _load(plugin)
    kinds = [*REGISTRIES, "suites"]
    if kind is not None and kind not in kinds:
        raise UsageError(f'no kind "{kind}"', hint=suggestion(kind, kinds))
    if kind == "algorithms":
        registry = REGISTRIES[kind]
        return _print_rows([_rule_row(registry[name]) for name in registry.names()], as_json)
    rows = [
        {"kind": k, "name": name, "summary": registry[name].summary, "origin": registry[name].origin}
        for k, registry in REGISTRIES.items()
        for name in registry.names()
        if kind in (None, k)
    ]
    if kind in (None, "suites"):
        rows += [
            {"kind": "suites", "name": name, "summary": suite_summary(name), "origin": "throughtime"}
            for name in suite_names()
        ]
    _print_rows(rows, as_json)


def _rule_row(rule: Any) -> dict[str, str]:
    """A rule's row of `ls algorithms`; — stands for what it does not claim, and for the page of one from elsewhere."""
    claims = getattr(rule.factory, "claims", None)
    return {
        "kind": rule.kind,
        "name": rule.name,
        "gradient": str(getattr(claims, "gradient", "—")),
        "memory": str(getattr(claims, "memory", "—")),
        "summary": rule.summary,
        "page": f"docs/rules/{rule.name}.md" if rule.origin == "throughtime" else "—",
    }


@app.command()
def plan(
    suite: SuiteArgument,
    scale: ScaleOption = "laptop",
    results: ResultsOption = DEFAULT_RESULTS,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Print what `run` would do: the runs, what is skipped and why, what is there already."""
    from throughtime.plan import by_cell

    planned, _ = _planned(suite, scale, results, plugin)
    if as_json:
        rows = [
            {"id": p.id, "label": p.spec.label, "unsupported": p.unsupported, "recorded": p.recorded} for p in planned
        ]
        return _print_rows(rows, True)
    _print_rows([cell.row() for cell in by_cell(planned)], False)
    print(_totals(planned))


@app.command()
def run(
    suite: SuiteArgument,
    scale: ScaleOption = "laptop",
    results: ResultsOption = DEFAULT_RESULTS,
    jobs: Annotated[int | None, typer.Option(min=1, help="Training passes at a time; default: one a core.")] = None,
    rerun: Annotated[Rerun, typer.Option(help="Records to make again.")] = "none",
    only: Annotated[str | None, typer.Option(help="One run, by its label or id.", metavar="RUN")] = None,
    plugin: PluginOption = NONE,
    source: SourceOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Run a suite. A run that has its record is not run again; exits with 1 while any run asked for has failed."""
    from throughtime.datasets.fetch import add_source
    from throughtime.errors import suggestion
    from throughtime.plan import prepare_data
    from throughtime.runner import Runner, to_run

    add_source(*source)
    planned, store = _planned(suite, scale, results, plugin)
    asked = [p for p in planned if only in (None, p.id, p.spec.label)]
    if not asked:
        raise UsageError(f'no run "{only}" in {suite}', hint=suggestion(str(only), (p.spec.label for p in planned)))
    chosen = to_run(asked, rerun)
    prepare_data(chosen)
    if not chosen and not as_json:
        failed = sum(p.recorded not in ("ok", "skipped") for p in asked)
        again = f"; {failed} of them failed, `--rerun failed` tries them again" if failed else ""
        print(f"nothing to do: each of the {len(asked)} runs has its record in {results}{again}")
    progress = _progress(as_json)
    jobs = jobs or max(1, (os.cpu_count() or 1) // planned[0].spec.threads)
    plugins = [str(path.resolve()) for path in plugin]
    words = ["throughtime", "run", suite, "--scale", scale, "--results", str(results)]
    words += [word for path in plugins for word in ("--plugin", path)]
    words += [word for path in source for word in ("--source", str(path.resolve()))]
    try:
        records = Runner(store, words, plugins, jobs, progress).run(planned, chosen) if chosen else []
    except KeyboardInterrupt:
        print("interrupted: finished runs are kept; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        progress.end()
    if as_json:
        print(json.dumps([json.loads(record.model_dump_json(by_alias=True)) for record in records]))
    status = {p.id: p.recorded for p in asked} | {record.id: record.status for record in records}
    if not {"ok", "skipped"}.issuperset(status.values()):
        raise typer.Exit(1)


@app.command()
def table(
    suite: Annotated[str | None, typer.Argument(help="One suite; all that were run if left out.")] = None,
    measure: Annotated[str, typer.Option(help="A measure's name; `metric`: accuracy or mse.")] = "metric",
    form: Annotated[
        Literal["text", "markdown", "latex", "csv"], typer.Option("--format", help="Of the output.")
    ] = "text",
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Print the table rules x neurons x datasets, from records."""
    from throughtime.reports.tables import render
    from throughtime.store import Store

    print(render(Store(results), suite, measure, "json" if as_json else form))


@app.command()
def figure(
    suite: Annotated[list[str] | None, typer.Argument(help="Suites; all that were run if left out.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option(help="Folder to write into.", metavar="DIR")] = Path("reports/out/figures"),
) -> None:
    """Draw the figures as PDF, SVG and PNG with their data as CSV, from records; a paper's own among them."""
    from throughtime.reports.cells import runs_of
    from throughtime.reports.report import write_figures
    from throughtime.store import Store

    for drawn in write_figures(runs_of(Store(results), suite), out):
        print(f"{out / drawn.name}.{{pdf,svg,png,csv}}" if drawn.svg else f"{drawn.title}: {' '.join(drawn.caption)}")


@app.command()
def report(
    suite: Annotated[list[str] | None, typer.Argument(help="Suites; all that were run if left out.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option(help="Folder to write into.", metavar="DIR")] = Path("reports/out"),
) -> None:
    """Write the HTML page, the tables and the figures, from records."""
    from throughtime.reports.report import write_report
    from throughtime.store import Store

    print(f"report: {write_report(Store(results), out, suite).resolve()}")


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Components; all that are registered if left out.")] = None,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Hold components to the facts that must be true of them; exits with 1 if one is not."""
    from collections import Counter

    from throughtime.checks.run import check, components

    _load(plugin)
    components(names or ())  # a wrong name is told before anything runs
    findings = list(check(names or ()))
    verdicts = Counter(finding.verdict for finding in findings)
    if as_json:
        print(json.dumps([finding.row() for finding in findings]))
    else:
        _print_rows([finding.shown() for finding in findings], False)
        print(", ".join(f"{verdicts[v]} {v}" for v in ("holds", "fails", "does not apply")))
    if verdicts["fails"]:
        raise typer.Exit(1)


@data_app.command("ls")
def list_data(as_json: JsonOption = False) -> None:
    """List the datasets with licence and whether their files are here."""
    from throughtime.registry import DATASETS

    _print_rows(
        [
            {
                "name": name,
                "licence": DATASETS[name].factory.licence,
                "files": _whereabouts(name, DATASETS[name].factory),
                "summary": DATASETS[name].summary,
            }
            for name in DATASETS.names()
        ],
        as_json,
    )


@data_app.command("fetch")
def fetch_data(name: str, source: SourceOption = NONE) -> None:
    """Bring a dataset's files into reach, and verify them."""
    from throughtime.datasets.fetch import add_source
    from throughtime.registry import DATASETS

    add_source(*source)
    dataset = DATASETS[name].factory()
    dataset.prepare()
    digest = dataset.sha256() or "generated, no files"
    sizes = ", ".join(f"{split} {dataset.size(split)}" for split in ("train", "validation", "test"))
    print(f"{name}: {sizes} sequences; SHA-256 {digest}")


def _whereabouts(name: str, dataset: Any) -> str:
    """Where a dataset's files are, unchecked, or what it has in place of files."""
    from throughtime.datasets.fetch import report

    if not dataset.files:
        return dataset.origin
    here = [presence.path for presence in report(dataset.files) if presence.path]
    if len(here) == len(dataset.files):
        return f"here: {', '.join(dict.fromkeys(str(path.parent) for path in here))}"
    some = f"{len(here)} of {len(dataset.files)} here" if here else "not here"
    return f"{some}: `throughtime data fetch {name}`"


def _load(plugins: list[Path]) -> None:
    from throughtime.registry import load_plugin

    for plugin in plugins:
        load_plugin(plugin)


def _planned(suite: str, scale: Scale, results: Path, plugins: list[Path]) -> tuple[list[Any], Any]:
    from throughtime.plan import plan
    from throughtime.store import Store
    from throughtime.suite import load_suite

    store = Store(results)
    _load(plugins)
    return plan(load_suite(suite).expand(scale), store), store


def _totals(planned: list[Any]) -> str:
    from collections import Counter

    fate = Counter(
        "have their record" if p.recorded else "will be skipped" if p.unsupported else "will run" for p in planned
    )
    return f"{len(planned)} runs: " + ", ".join(f"{count} {what}" for what, count in fate.items())


def _progress(quiet: bool) -> Any:
    from throughtime.progress import PlainProgress, TerminalProgress

    if sys.stderr.isatty() and not quiet:
        from rich.console import Console

        return TerminalProgress(Console(stderr=True))
    return PlainProgress(sys.stderr)


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        return print(json.dumps(rows))
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    width = None if sys.stdout.isatty() else 160  # a pipe has no width of its own
    Console(width=width).print(table, markup=False, highlight=False)


def main(arguments: list[str] | None = None) -> int:
    """Run a command, by default that of this process; return its exit code. Wrong use is told in a line or two."""
    try:
        app(arguments, standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
