"""The commands that run suites and show their progress: `plan`, `run`, `status`, `rerun`."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from throughtime.commands.terminal import (
    NONE,
    JsonOption,
    PluginOption,
    ResultsOption,
    SourceOption,
    load_plugins,
    print_rows,
)
from throughtime.errors import UsageError
from throughtime.records.store import DEFAULT_RESULTS, Store
from throughtime.running import limits
from throughtime.spec import Rerun, Scale
from throughtime.suites import units

if TYPE_CHECKING:
    from throughtime.records.record import Record
    from throughtime.running.engines.base import Engine
    from throughtime.running.plan import Planned
    from throughtime.running.progress import Progress


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
NO_CHANGES: list[str] = []
ScaleOption = Annotated[Scale, typer.Option(help="Size: tiny (seconds), laptop (minutes), paper (the authors').")]


def plan(
    suite: SuiteArgument,
    scale: ScaleOption = "laptop",
    results: ResultsOption = DEFAULT_RESULTS,
    changes: ChangesOption = NO_CHANGES,
    plugin: PluginOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Print what `run` would do: runs to make, runs to skip with the reason, and runs already recorded."""
    from throughtime.running.plan import by_cell, plan, to_run
    from throughtime.suites.suite import load_suite

    load_plugins(plugin)
    planned = plan(load_suite(suite, scale, changes).expand(scale), Store(results))
    if as_json:
        rows = [
            {
                "id": p.id,
                "label": p.spec.label,
                "unsupported": p.unsupported,
                "recorded": p.recorded,
                "stale": p.stale,
            }
            for p in planned
        ]
        return print_rows(rows, True)
    print_rows([cell.row() for cell in by_cell(planned)], False)
    made = {p.id for p in to_run(planned, "none")}
    fates = Counter(
        "have their record" if p.id not in made else "will be skipped" if p.unsupported else "will run" for p in planned
    )
    print(f"{len(planned)} runs: " + ", ".join(f"{count} {what}" for what, count in fates.items()))


def run(
    suite: SuiteArgument,
    scale: ScaleOption = "laptop",
    results: ResultsOption = DEFAULT_RESULTS,
    jobs: Annotated[int | None, typer.Option(min=1, help="Concurrent training passes; default: one per core.")] = None,
    rerun: Annotated[Rerun, typer.Option(help="Runs to repeat; stale: recorded with other code or data.")] = "none",
    only: Annotated[
        list[str] | None,
        typer.Option(help="Label or id of a run or a cell, or a pattern such as 'fptt *'; repeatable.", metavar="RUN"),
    ] = None,
    changes: ChangesOption = NO_CHANGES,
    timeout: Annotated[
        float | None, typer.Option(parser=units.seconds, help="Time limit of each pass: 90s, 15m, 2h.", metavar="TIME")
    ] = None,
    memory_limit: Annotated[
        int | None, typer.Option(parser=units.size, help="Memory limit of each pass: 2GiB, 1500MB.", metavar="SIZE")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="Run on a cluster: tcp://HOST:8786 (a Dask scheduler), local:N, slurm.", metavar="WHERE"),
    ] = None,
    cluster_config: Annotated[
        Path | None, typer.Option(help="YAML with the settings of `--cluster slurm`.", metavar="FILE")
    ] = None,
    plugin: PluginOption = NONE,
    source: SourceOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Run a suite. Recorded runs are skipped; exits with 1 if any selected run has failed."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.running.engines.local import start_fork_server
    from throughtime.running.plan import prepare_data
    from throughtime.running.progress import preparing
    from throughtime.running.signals import AskedToStop, raise_on_signals
    from throughtime.running.sweep import Sweep

    if jobs and cluster:
        raise UsageError("has no effect on a cluster", "--jobs", "a cluster runs as many passes as it has room for")
    if cluster_config and cluster != "slurm":
        raise UsageError("only Slurm has a configuration", "--cluster-config", "add --cluster slurm")
    if cluster == "slurm" and not cluster_config:
        raise UsageError(
            "needs a configuration with the time limit of a job", "--cluster slurm", "add --cluster-config FILE"
        )
    add_source(*source)
    if not cluster:
        start_fork_server()  # both import torch
    load_plugins(plugin)
    sweep = Sweep(suite, scale, Store(results), only or (), rerun, changes)
    prepare_data(sweep.due, partial(preparing, quiet=as_json))
    if not as_json:
        _print_not_repeated(sweep.selected, sweep.due, results)
    progress = _progress(as_json)
    plugins = [str(path.resolve()) for path in plugin]
    command = sweep.command(plugins, [str(path.resolve()) for path in source])
    allowed = limits.Limits(timeout or sweep.limits.timeout, memory_limit or sweep.limits.memory)
    records: list[Record] = []
    try:
        with raise_on_signals():
            if sweep.due:
                engine = _engine(cluster, cluster_config, plugins, allowed, jobs or sweep.jobs, progress.show)
                records = sweep.run(engine, command, progress)
    except AskedToStop as stop:
        print("interrupted: finished runs are recorded; repeat the command to continue", file=sys.stderr)
        raise typer.Exit(128 + stop.signum) from None
    finally:
        progress.end()
    if as_json:
        print(json.dumps([json.loads(record.model_dump_json(by_alias=True)) for record in records]))
    ended = {p.id: p.recorded for p in sweep.selected} | {record.id: record.status for record in records}
    made = {record.id for record in records}
    incomplete = any(p.missing_passes for p in sweep.selected if p.id not in made)
    incomplete = incomplete or any(record.failed_passes for record in records)
    if incomplete or not {"ok", "skipped"}.issuperset(ended.values()):
        raise typer.Exit(1)


def status(
    suite: Annotated[str | None, typer.Argument(help="One suite; default: all in the results.")] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Show the progress of a suite's last sweep, from its files: done, running, waiting, failed, time left."""
    from throughtime.running.status import lines
    from throughtime.running.status import status as status_of

    found = status_of(Store(results), suite)
    if as_json:
        return print(json.dumps([dataclasses.asdict(one) for one in found]))
    for one in found:
        print("\n".join(lines(one)))


def rerun(
    record: Annotated[str, typer.Argument(help="A record's file, its folder, or its id in --results.")],
    results: ResultsOption = DEFAULT_RESULTS,
    plugin: PluginOption = NONE,
    source: SourceOption = NONE,
    as_json: JsonOption = False,
) -> None:
    """Repeat one recorded run without saving it, and print the differences; exits with 1 if one counts."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.running.rerun import find_record
    from throughtime.running.rerun import rerun as rerun_of
    from throughtime.running.signals import AskedToStop, raise_on_signals

    add_source(*source)
    load_plugins(plugin)
    stored = find_record(record, Store(results))
    progress = _progress(as_json)
    try:
        with tempfile.TemporaryDirectory(prefix="throughtime-") as folder, raise_on_signals():
            plugins = [str(path.resolve()) for path in plugin]
            _, differences = rerun_of(stored, Path(folder), plugins, progress)
    except AskedToStop as stop:
        raise typer.Exit(128 + stop.signum) from None
    finally:
        progress.end()
    print_rows([difference._asdict() for difference in differences], as_json)
    counting = sum(difference.counts for difference in differences)
    if not as_json:
        print(f"{counting} differences" if counting else "the same, except for values that vary between any two runs")
    if counting:
        raise typer.Exit(1)


def _print_not_repeated(selected: list[Planned], due: list[Planned], results: Path) -> None:
    """Print how many of the selected runs are not repeated although they are stale, failed or incomplete."""
    ids = {p.id for p in due}
    left = [p for p in selected if p.id not in ids]
    notes = []
    if stale := [p for p in left if p.stale]:
        causes = ", ".join(dict.fromkeys(str(p.stale) for p in stale))
        notes.append(f"{len(stale)} are stale ({causes}), `--rerun stale` repeats them")
    if failed := sum(p.recorded not in ("ok", "skipped") for p in left):
        notes.append(f"{failed} failed, `--rerun failed` repeats them")
    if incomplete := sum(bool(p.missing_passes) for p in left):
        notes.append(f"{incomplete} lack a measuring pass, `--rerun failed` runs it")
    if not due:
        notes.insert(0, f"nothing to do: all {len(selected)} runs are recorded in {results}")
    if notes:
        print("; ".join(notes))


def _engine(
    cluster: str | None,
    config: Path | None,
    plugins: list[str],
    allowed: limits.Limits,
    jobs: int,
    tell: Callable[[str], None],
) -> Engine:
    """Return the engine that runs the passes: local processes, Dask workers or Slurm jobs."""
    if cluster is None:
        from throughtime.running.engines.local import LocalEngine

        return LocalEngine(plugins, allowed, jobs, tell)
    if cluster != "slurm":
        from throughtime.running.engines.dask import DaskEngine

        return DaskEngine(cluster, plugins, allowed, tell)
    from throughtime.running.engines.slurm import SlurmEngine

    assert config is not None  # `run` has checked it
    return SlurmEngine(config, plugins, allowed, tell)


def _progress(quiet: bool) -> Progress:
    from throughtime.running.progress import PlainProgress, TerminalProgress

    if sys.stderr.isatty() and not quiet:
        from rich.console import Console

        return TerminalProgress(Console(stderr=True))
    return PlainProgress(sys.stderr)
