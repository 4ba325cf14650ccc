"""The commands around a sweep: `plan`, `status`, `rerun`."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from throughtime.commands import terminal
from throughtime.printing import print_text
from throughtime.records.store import DEFAULT_RESULTS, Store
from throughtime.suites import units

if TYPE_CHECKING:
    from throughtime.running.plan import Planned
    from throughtime.running.progress import Progress


def plan(
    suite: terminal.SuiteArgument,
    scale: terminal.ScaleOption = "laptop",
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    changes: terminal.ChangesOption = terminal.NO_CHANGES,
    memory_limit: terminal.MemoryLimitOption = None,
    plugin: terminal.PluginOption = terminal.NONE,
    paper: terminal.PaperOption = terminal.NONE,
    as_json: terminal.JsonOption = False,
) -> None:
    """Print what `run` would do: runs to make, to skip or left out with the reason, and runs already recorded."""
    from throughtime.running.least_memory import largest, machine_bytes, require_memory
    from throughtime.running.plan import by_cell, to_run
    from throughtime.running.sweep import Request, sweeps

    terminal.load_plugins(plugin, paper)
    planned: list[Planned] = []
    cells_left, excluded = 0, []
    for sweep in sweeps(Request(suite, scale, Store(results), changes=changes)):
        planned += sweep.planned
        cells_left, excluded = sweep.cells_left, sweep.excluded
        require_memory(sweep.due, memory_limit or sweep.limits.memory, here=False)
    if as_json:
        rows = [
            {
                "id": p.id,
                "label": p.spec.label,
                "unsupported": p.unsupported,
                "recorded": p.recorded,
                "stale": p.stale,
                "least_bytes": p.least_bytes,
            }
            for p in planned
        ]
        return terminal.print_rows(rows, True)
    terminal.print_rows([cell.row() for cell in by_cell(planned)], False)
    for pattern in excluded:
        print_text(f"left out: {pattern.text}")
    if (most := largest(planned)) and most.least_bytes is not None:
        fits = "" if most.least_bytes <= machine_bytes() else ", more than this machine has"
        needs = f"at least {units.bytes_as_text(most.least_bytes)} for weights, gradients, optimiser and a batch{fits}"
        print_text(f"memory of the largest run: {needs} ({most.spec.label})")
    made = {p.id for p in to_run(planned, "none")}
    fates = Counter(
        "have their record" if p.id not in made else "will be skipped" if p.unsupported else "will run" for p in planned
    )
    print_text(f"{_number(len(planned), 'run')}: " + ", ".join(f"{count} {what}" for what, count in fates.items()))
    if cells_left:
        print_text(f"after the trials, {_number(cells_left, 'more cell')} with the best values")


def status(
    suite: Annotated[str | None, typer.Argument(help="One suite; default: all in the results.")] = None,
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    as_json: terminal.JsonOption = False,
) -> None:
    """Show the progress of a suite's last sweep, from its files: done, running, waiting, failed, time left."""
    from throughtime.running.status import lines
    from throughtime.running.status import status as status_of

    statuses = status_of(Store(results), suite)
    if as_json:
        return print_text(json.dumps([dataclasses.asdict(state) for state in statuses]))
    for state in statuses:
        print_text("\n".join(lines(state)))


def rerun(
    record: Annotated[str, typer.Argument(help="A record's file, its folder, or its id in --results.")],
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    plugin: terminal.PluginOption = terminal.NONE,
    source: terminal.SourceOption = terminal.NONE,
    as_json: terminal.JsonOption = False,
) -> None:
    """Repeat one recorded run without saving it, and print the differences; exits with 1 if a result differs."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.running.engines.local import LocalEngine
    from throughtime.running.limits import Limits
    from throughtime.running.rerun import find_record
    from throughtime.running.rerun import rerun as rerun_of

    add_source(*source)
    terminal.load_plugins(plugin)
    stored = find_record(record, Store(results))
    progress = progress_for(as_json)
    try:
        with terminal.stoppable(), tempfile.TemporaryDirectory(prefix="throughtime-") as folder:
            engine = LocalEngine([str(path.resolve()) for path in plugin], Limits(), 1, progress.show)
            with closing(engine):
                _, differences = rerun_of(stored, Path(folder), engine, progress)
    finally:
        progress.end()
    terminal.print_rows([difference._asdict() for difference in differences], as_json)
    counting = sum(difference.counts for difference in differences)
    if not as_json:
        same = "the same, except for values that vary between any two runs"
        print_text(_number(counting, "difference") if counting else same)
    if counting:
        raise typer.Exit(1)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


def progress_for(quiet: bool) -> Progress:
    """Return a live display on a terminal, and lines elsewhere."""
    from throughtime.running.progress import PlainProgress, TerminalProgress

    if sys.stderr.isatty() and not quiet:
        from rich.console import Console

        return TerminalProgress(Console(stderr=True))
    return PlainProgress(sys.stderr)
