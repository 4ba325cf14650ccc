"""Options that several commands share, and tables on the terminal."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from throughtime.errors import UsageError
from throughtime.printing import print_text, printable
from throughtime.spec import Scale
from throughtime.suites import units

if TYPE_CHECKING:
    from throughtime.records.results import Results
    from throughtime.registry import Component

LARGEST = 2**31 - 1
"""Largest number of steps, neurons or sequences; larger ones overflow an index."""
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
NeuronOption = Annotated[str, typer.Option(help="Neuron of the network `recurrent`.")]
HiddenOption = Annotated[
    list[int], typer.Option(min=1, max=LARGEST, help="Neurons of a layer; repeat for more layers.")
]
HIDDEN = [64]
InputsOption = Annotated[int, typer.Option(min=1, max=LARGEST, help="Inputs a step.")]
OutputsOption = Annotated[int, typer.Option(min=2, max=LARGEST, help="Classes.")]
BatchOption = Annotated[int, typer.Option(min=1, max=LARGEST, help="Sequences that are learnt together.")]
PluginOption = Annotated[
    list[Path],
    typer.Option("--plugin", help="Python file that registers components; repeatable.", metavar="FILE"),
]
PaperOption = Annotated[
    list[Path], typer.Option("--paper", help="Folder of a paper with its suites; repeatable.", metavar="DIR")
]
SourceOption = Annotated[
    list[Path], typer.Option("--source", help="Folder to search for datasets; repeatable.", metavar="DIR")
]
ResultsOption = Annotated[Path, typer.Option(help="Folder of results.", metavar="DIR")]
OutOption = Annotated[Path, typer.Option(help="Folder to write into.", metavar="DIR", file_okay=False)]
StyleOption = Annotated[
    Literal["screen", "paper"],
    typer.Option(
        help="screen: title and notes in the figure; paper: 3.3 or 6.9 inches wide, 8 points, caption as text."
    ),
]
BaselinesOption = Annotated[
    Path | None, typer.Option(help="Folder of baselines; default: results/baselines.", metavar="DIR")
]
RepetitionTimeOption = Annotated[
    float | None,
    typer.Option(parser=units.seconds, help="Time limit of a run: 90s, 15m, 2h; default: 30m.", metavar="TIME"),
]
NONE: list[Path] = []


def suites_to_run(incomplete: str) -> list[str]:
    """Complete the name of a suite on the shell."""
    from throughtime.suites.suite import suite_names

    return [name for name in suite_names() if name.startswith(incomplete)]


SuiteArgument = Annotated[
    str,
    typer.Argument(help="Name of a suite, or path of a suite's YAML.", metavar="SUITE", autocompletion=suites_to_run),
]
ChangesOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Change a setting, such as training.learning_rate=1e-2 or fptt.alpha=0.5; repeatable.",
        metavar="NAME=VALUE",
    ),
]
LabelsOption = Annotated[
    list[str], typer.Option(help="Only these labels, or patterns such as '*alif*'; repeatable.", metavar="LABEL")
]
NO_LABELS: list[str] = []
NO_CHANGES: list[str] = []
MemoryLimitOption = Annotated[
    int | None, typer.Option(parser=units.size, help="Memory limit of each pass: 2GiB, 1500MB.", metavar="SIZE")
]
ScaleOption = Annotated[Scale, typer.Option(help="Size: tiny (seconds), laptop (minutes), paper (the authors').")]


def refuse_unused(reason: str, **options: Any) -> None:
    """Refuse options that the command line has and that have no effect.

    Args:
        reason: why, for example `with --check`.
        **options: values by name; None, False and empty lists: the option is not there.

    Raises:
        UsageError: an option is there.
    """
    for name, value in options.items():
        if value is not None and value is not False and value != []:
            raise UsageError(f"has no effect {reason}", f"--{name.replace('_', '-')}")


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as a table, or as JSON."""
    if as_json:
        return print_text(json.dumps(rows))
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else printable(str(value)) for value in row.values()))
    width = None if sys.stdout.isatty() else 160  # a pipe has no width
    Console(width=width).print(table, markup=False, highlight=False)


@contextmanager
def facts_shown(components: int) -> Iterator[Callable[[Component, int, int], None]]:
    """Context manager that shows on a terminal which fact of which component is evaluated.

    Without a thread of its own, which would disturb facts on memory: the bar moves between facts.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal)
    task, seen = bar.add_task(""), dict.fromkeys([""])

    def tell(component: Component, done: int, facts: int) -> None:
        seen.setdefault(f"{component.kind} {component.name}")
        shown = f"{component.name} ({len(seen) - 1} of {components})" if components > 1 else component.name
        bar.update(task, completed=done, total=facts, description=shown, refresh=True)

    with bar:
        yield tell


def load_plugins(plugins: list[Path], papers: Sequence[Path] = ()) -> None:
    """Import the files that `--plugin` names, and add the folders that `--paper` names."""
    from throughtime.paper_folders import add_papers
    from throughtime.registry import load_plugin

    for plugin in plugins:
        load_plugin(plugin)
    add_papers(*papers)


@contextmanager
def stoppable(said: str = "") -> Iterator[None]:
    """Context manager in which SIGINT, SIGTERM and SIGHUP end a command after what it has to clear away, and after a
    line to stderr."""
    from throughtime.running.signals import AskedToStop, signals_raised

    try:
        with signals_raised():
            yield
    except AskedToStop as stop:
        if said:
            print_text(said, file=sys.stderr)
        raise typer.Exit(128 + stop.signum) from None


def load_results(folder: Path, suites: Sequence[str] = ()) -> Results:
    """Load results, and print the records that cannot be read to stderr."""
    from throughtime.records.results import Results

    results = Results.load(folder, suites)
    print_broken(results)
    return results


def print_broken(results: Results) -> None:
    """Print the records that cannot be read to stderr."""
    for line in results.broken:
        print_text(f"broken: {line}", file=sys.stderr)


def print_stale(*results: Results) -> None:
    """Print to stderr how many runs of which suites other code than today's made, and what repetitions of them gave;
    nothing if there are none."""
    stale = [among.stale() for among in results]
    counts: dict[str, int] = {}
    for rows in stale:
        counts |= Counter(map(str, rows["suite"]))
    if counts:
        from throughtime.records.repetitions import committed_repetitions, repeated_cells

        suites = ", ".join(f"{suite} {count}" for suite, count in counts.items())
        runs = len({run for among in results for run in among.frame["id"]})
        print_text(f"other code than today's made {sum(counts.values())} of {runs} runs: {suites}", file=sys.stderr)
        if known := repeated_cells(stale, committed_repetitions()):
            print_text(known, file=sys.stderr)
