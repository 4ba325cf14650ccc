"""The command line. Commands import heavy modules inside their functions, so that `--help` answers at once.

Exit codes: 0 success; 1 a run or a check failed, or a file could not be written; 2 usage error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from throughtime.commands import compare as compare_cli
from throughtime.commands import peers as peers_cli
from throughtime.commands import sweep as sweep_cli
from throughtime.commands.baseline import baseline_app
from throughtime.commands.data import data_app
from throughtime.commands.terminal import NONE, JsonOption, PluginOption, ResultsOption, load_plugins, print_rows
from throughtime.errors import UsageError
from throughtime.records.store import DEFAULT_RESULTS

if TYPE_CHECKING:
    from throughtime.records.results import Results
    from throughtime.registry import Component

app = typer.Typer(
    help="Benchmark and reproduction suite for learning rules of spiking networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(baseline_app, name="baseline")
app.add_typer(data_app, name="data")
for command in (sweep_cli.plan, sweep_cli.run, sweep_cli.status, sweep_cli.rerun, compare_cli.compare, peers_cli.peers):
    app.command()(command)


@app.command("ls")
def list_components(
    kind: Annotated[str | None, typer.Argument(help="algorithms, neurons, networks, datasets or suites.")] = None,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """List registered components: name, summary, origin; `ls algorithms` shows each rule's claims, page, coordinates
    and cost."""
    from throughtime.errors import suggestion
    from throughtime.registry import REGISTRIES
    from throughtime.suites.suite import suite_names, suite_summary

    load_plugins(plugin)
    kinds = [*REGISTRIES, "suites"]
    if kind is not None and kind not in kinds:
        raise UsageError(f'no kind "{kind}"', hint=suggestion(kind, kinds))
    if kind == "algorithms":
        registry = REGISTRIES[kind]
        return _print_rules([registry[name] for name in registry.names()], as_json)
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
    print_rows(rows, as_json)


def _print_rules(rules: Sequence[Component], as_json: bool) -> None:
    """Print the rules' claims and pages, then their coordinates and costs; as JSON, one row for each rule."""
    if as_json:
        return print_rows([_rule_row(rule) | _rule_coordinates(rule) for rule in rules], as_json)
    print_rows([_rule_row(rule) for rule in rules], as_json)
    print()
    print_rows([{"rule": rule.name, **_rule_coordinates(rule)} for rule in rules], as_json)


def _rule_coordinates(rule: Component) -> dict[str, str]:
    """Return a rule's coordinates and cost formulas; — marks those that it does not state."""
    from throughtime.algorithms.coordinates import Coordinates, Cost

    try:
        coordinates = rule.factory().coordinates()
    except Exception:  # an option has no default, or the factory is not that of a rule
        coordinates = None
    cost = getattr(rule.factory, "cost", None)
    shown = coordinates.shown() if coordinates else dict.fromkeys(Coordinates._fields, "—")
    return shown | {f"{name}_cost": str(getattr(cost, name, "—")) for name in Cost._fields}


def _rule_row(rule: Component) -> dict[str, str]:
    """Return a rule's row of `ls algorithms`; — marks a missing claim, and the page of a rule from another package."""
    claims = getattr(rule.factory, "claims", None)
    return {
        "kind": rule.kind,
        "name": rule.name,
        "gradient": str(getattr(claims, "gradient", "—")),
        "memory": str(getattr(claims, "memory", "—")),
        "summary": rule.summary,
        "page": f"docs/rules/{rule.name}.md" if rule.origin == "throughtime" else "—",
    }


def _loaded(folder: Path, suites: Sequence[str]) -> Results:
    """Load results, and print the records that cannot be read to stderr."""
    from throughtime.records.results import Results

    results = Results.load(folder, suites)
    for line in results.broken:
        print(f"broken: {line}", file=sys.stderr)
    return results


@app.command()
def table(
    suite: Annotated[str | None, typer.Argument(help="One suite; default: all in the results.")] = None,
    measure: Annotated[
        str, typer.Option(help="A measure's name; `metric`: the headline metric of the task.")
    ] = "metric",
    form: Annotated[
        Literal["text", "markdown", "latex", "csv"], typer.Option("--format", help="Output format.")
    ] = "text",
    results: ResultsOption = DEFAULT_RESULTS,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Print the table rules x neurons x datasets, from records."""
    from throughtime.reports.tables import render

    load_plugins(plugin)
    print(render(_loaded(results, [suite] if suite else ()), measure, "json" if as_json else form))


@app.command()
def figure(
    suite: Annotated[list[str] | None, typer.Argument(help="Suites; default: all in the results.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option(help="Folder to write into.", metavar="DIR")] = Path("reports/out/figures"),
    plugin: PluginOption = NONE,
) -> None:
    """Draw the figures from records, as PDF, SVG and PNG with their data as CSV."""
    from throughtime.reports.report import write_figures

    load_plugins(plugin)
    for drawn in write_figures(_loaded(results, suite or ()), out):
        print(f"{out / drawn.name}.{{pdf,svg,png,csv}}" if drawn.svg else f"{drawn.title}: {' '.join(drawn.caption)}")


@app.command()
def report(
    suite: Annotated[list[str] | None, typer.Argument(help="Suites; default: all in the results.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option(help="Folder to write into.", metavar="DIR")] = Path("reports/out"),
    plugin: PluginOption = NONE,
) -> None:
    """Write the HTML page, the tables and the figures, from records."""
    from throughtime.reports.report import write_report

    load_plugins(plugin)
    print(f"report: {write_report(_loaded(results, suite or ()), out).resolve()}")


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Components; default: all registered ones.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also larger sizes, other options and real data; minutes per component.")
    ] = False,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Run the contract checks of components; exits with 1 if one fails."""
    from collections import Counter

    from throughtime.checks.run import check, components

    load_plugins(plugin)
    components(names or ())  # an unknown name is refused before any check runs
    findings = list(check(names or (), full))
    verdicts = Counter(finding.verdict for finding in findings)
    if as_json:
        print(json.dumps([finding.row() for finding in findings]))
    else:
        print_rows([finding.shown() for finding in findings], False)
        print(", ".join(f"{verdicts[v]} {v}" for v in ("holds", "fails", "does not apply")))
    if verdicts["fails"]:
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> int:
    """Run the command of the arguments, by default those of this process, and return its exit code."""
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
