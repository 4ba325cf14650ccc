"""The command line. Commands import heavy modules inside their functions, so that `--help` answers at once.

Exit codes: 0 success; 1 a run or a check failed, or a file could not be written; 2 usage error.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from throughtime.commands import bytes as bytes_cli
from throughtime.commands import compare as compare_cli
from throughtime.commands import compare_rules as compare_rules_cli
from throughtime.commands import ls as ls_cli
from throughtime.commands import papers as papers_cli
from throughtime.commands import peers as peers_cli
from throughtime.commands import recommend as recommend_cli
from throughtime.commands import run as run_cli
from throughtime.commands import show as show_cli
from throughtime.commands import submit as submit_cli
from throughtime.commands import sweep as sweep_cli
from throughtime.commands import terminal
from throughtime.commands.baseline import baseline_app
from throughtime.commands.data import data_app
from throughtime.commands.export import export_app
from throughtime.errors import UsageError, first_line, is_out_of_memory
from throughtime.printing import print_text
from throughtime.records.store import DEFAULT_RESULTS

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from throughtime import __version__

        print_text(f"throughtime {__version__}")
        raise typer.Exit


@app.callback()
def throughtime(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Benchmark and reproduction suite for learning rules of spiking networks."""


app.add_typer(baseline_app, name="baseline")
app.add_typer(data_app, name="data")
app.add_typer(export_app, name="export")
app.command("bytes")(bytes_cli.count_bytes)
app.command("compare-rules")(compare_rules_cli.compare_rules)
app.command("ls")(ls_cli.list_components)
app.command()(recommend_cli.recommend)
app.command()(submit_cli.submit)
sweep_commands = (sweep_cli.plan, run_cli.run, sweep_cli.status, sweep_cli.rerun)
paper_commands = (papers_cli.papers, papers_cli.verdicts, papers_cli.reproduce)
for command in (*sweep_commands, *paper_commands, compare_cli.compare, peers_cli.peers, show_cli.show):
    app.command()(command)


@app.command()
def table(
    suite: Annotated[str | None, typer.Argument(help="One suite; default: all in the results.")] = None,
    measure: Annotated[
        str, typer.Option(help="A measure's name; `metric`: the headline metric of the task.")
    ] = "metric",
    form: Annotated[
        Literal["text", "markdown", "latex", "csv"], typer.Option("--format", help="Output format.")
    ] = "text",
    rules: terminal.LabelsOption = terminal.NO_LABELS,
    neurons: terminal.LabelsOption = terminal.NO_LABELS,
    datasets: terminal.LabelsOption = terminal.NO_LABELS,
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    plugin: terminal.PluginOption = terminal.NONE,
    as_json: terminal.JsonOption = False,
) -> None:
    """Print the table rules x neurons x datasets, from records; text fits the width of the terminal."""
    import shutil

    from throughtime.reports.tables import render

    if as_json:
        terminal.refuse_unused("with --json", format=None if form == "text" else form)
    terminal.load_plugins(plugin)
    loaded = terminal.load_results(results, [suite] if suite else ())
    runs = loaded.matching(rule=rules, neuron=neurons, dataset=datasets)
    width = shutil.get_terminal_size((120, 24)).columns
    print_text(render(runs, measure, "json" if as_json else form, width))


@app.command()
def figure(
    suite: Annotated[list[str] | None, typer.Argument(help="Suites; default: all in the results.")] = None,
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    out: terminal.OutOption = Path("reports/out/figures"),
    style: terminal.StyleOption = "screen",
    measure: Annotated[
        str | None, typer.Option(help="Draw this measure for each rule in the place of the standard figures.")
    ] = None,
    only: Annotated[
        list[str], typer.Option(help="Names of figures, or patterns such as '*-curves'; repeatable.", metavar="NAME")
    ] = terminal.NO_LABELS,
    width: Annotated[float | None, typer.Option(min=1, max=40, help="Width in inches.")] = None,
    colours: Annotated[
        list[str], typer.Option(help="Colour of a rule, such as 'fptt=#d55e00'; repeatable.", metavar="NAME=COLOUR")
    ] = terminal.NO_LABELS,
    plugin: terminal.PluginOption = terminal.NONE,
    paper: terminal.PaperOption = terminal.NONE,
) -> None:
    """Draw the figures from records, as PDF, SVG and PNG with their data as CSV and, for a paper, the caption."""
    from throughtime.reports.figure_registry import Choice, NotDrawn
    from throughtime.reports.look import Look
    from throughtime.reports.page.report import write_figures

    terminal.load_plugins(plugin, paper)
    if unequal := [text for text in colours if "=" not in text]:
        raise UsageError("a colour is NAME=COLOUR", f"--colours {unequal[0]}", "such as 'fptt=#d55e00'")
    look = Look(style, width, {name: colour for name, _, colour in (text.rpartition("=") for text in colours)})
    loaded = terminal.load_results(results, suite or ())
    terminal.print_stale(loaded)
    for name, drawn in write_figures(loaded, out, look, Choice(only, measure), _print_drawing).items():
        print_text(
            f"{drawn.title}: {drawn.reason}" if isinstance(drawn, NotDrawn) else f"{out / name}.{{pdf,svg,png,csv}}"
        )


@app.command()
def report(
    suite: Annotated[list[str] | None, typer.Argument(help="Suites; default: all in the results.")] = None,
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    out: terminal.OutOption = Path("reports/out"),
    plugin: terminal.PluginOption = terminal.NONE,
    paper: terminal.PaperOption = terminal.NONE,
) -> None:
    """Write the HTML page, the tables and, of at most 1000 runs, the figures, from records."""
    from throughtime.reports.page.report import write_report

    terminal.load_plugins(plugin, paper)
    path = write_report(terminal.load_results(results, suite or ()), out, _print_drawing)
    print_text(f"report: {path.resolve()}")


def _print_drawing(what: str) -> None:
    print_text(f"drawing {what}", file=sys.stderr, flush=True)


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Components; default: all registered ones.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also larger sizes, other options and real data; minutes per component.")
    ] = False,
    plugin: terminal.PluginOption = terminal.NONE,
    as_json: terminal.JsonOption = False,
) -> None:
    """Run the contract checks of components; exits with 1 if one fails."""
    from collections import Counter

    from throughtime.checks.fact import Verdict
    from throughtime.checks.run import check, components

    terminal.load_plugins(plugin)
    chosen = components(names or ())  # an unknown name is refused before any check runs
    with terminal.facts_shown(len(chosen)) as tell:
        findings = list(check(names or (), full, tell=tell))
    verdicts = Counter(finding.verdict for finding in findings)
    if as_json:
        print_text(json.dumps([finding.row() for finding in findings]))
    else:
        terminal.print_rows([finding.shown() for finding in findings], False)
        shown = [v for v in get_args(Verdict) if verdicts[v] or v != "warns"]
        print_text(", ".join(f"{verdicts[v]} {v}" for v in shown))
    if verdicts["fails"]:
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command of the arguments, by default those of this process, and return its exit code."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the caller closed it, as a shell does at `>&-`; this one stays open to the end
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack σ, and a file name need not be UTF-8
    sys.unraisablehook = _end_if_interrupted
    code = _code_of(arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try at its end to write the rest of the buffer, and exit with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code == 0:
            print_text(f"error: {error}", file=sys.stderr)
            code = 1
    return code


def _code_of(arguments: list[str] | None) -> int:
    """Run a command, print its error, and return its exit code."""
    try:
        app(arguments, standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except UsageError as error:
        for message in error.errors:
            print_text(f"error: {message}", file=sys.stderr)
        return 2
    except OSError as error:
        print_text(f"error: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if _is_interrupted(error):
            return 128 + signal.SIGINT
        if not is_out_of_memory(error):
            raise
        print_text(f"error: not enough memory: {first_line(error)}", file=sys.stderr)
        return 1
    return 0


def _is_interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C caused an exception: an interrupted import may raise another one."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _end_if_interrupted(ignored: sys.UnraisableHookArgs) -> None:
    """End the process if Python ignores a Ctrl-C, as it does in destructors; print other ignored exceptions."""
    if _is_interrupted(ignored.exc_value):
        os._exit(128 + signal.SIGINT)
    sys.__unraisablehook__(ignored)
