"""The command `throughtime run`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from throughtime.commands import terminal
from throughtime.commands.sweep import progress_for
from throughtime.errors import UsageError
from throughtime.printing import print_text
from throughtime.records.store import DEFAULT_RESULTS, Store
from throughtime.running import limits
from throughtime.spec import Rerun
from throughtime.suites import units

if TYPE_CHECKING:
    from throughtime.records.record import Record
    from throughtime.running.engine import Engine
    from throughtime.running.plan import Planned
    from throughtime.running.sweep import Sweep


class Place(NamedTuple):
    """Where and within which limits the passes run."""

    cluster: str | None
    cluster_config: Path | None
    jobs: int | None
    timeout: float | None
    memory_limit: int | None
    plugins: list[str]

    def check(self) -> None:
        """Raise UsageError for options that exclude or need each other, and for a cluster that is none."""
        if self.jobs and self.cluster:
            raise UsageError("has no effect on a cluster", "--jobs", "a cluster runs as many passes as it has room for")
        if self.cluster_config and self.cluster != "slurm":
            raise UsageError("only Slurm has a configuration", "--cluster-config", "add --cluster slurm")
        if self.cluster == "slurm" and not self.cluster_config:
            raise UsageError(
                "needs a configuration with the time limit of a job", "--cluster slurm", "add --cluster-config FILE"
            )
        if self.cluster_config:
            from throughtime.running.engines.slurm_file import load_settings

            load_settings(self.cluster_config)
        elif self.cluster:
            from throughtime.running.engines.dask import require_address

            require_address(self.cluster)

    def engine(self, sweep: Sweep, tell: Callable[[str], None]) -> Engine:
        """Return the engine that runs the passes: local processes, Dask workers or Slurm jobs.

        Raises:
            UsageError: a run needs more memory than the limit or, without a cluster, than this machine has.
        """
        from throughtime.running.least_memory import require_memory

        allowed = limits.Limits(self.timeout or sweep.limits.timeout, self.memory_limit or sweep.limits.memory)
        require_memory(sweep.due, allowed.memory, here=self.cluster is None)
        if self.cluster is None:
            from throughtime.running.engines.local import LocalEngine

            return LocalEngine(self.plugins, allowed, self.jobs or sweep.jobs, tell)
        if self.cluster != "slurm":
            from throughtime.running.engines.dask import DaskEngine

            return DaskEngine(self.cluster, self.plugins, allowed, tell)
        from throughtime.running.engines.slurm import SlurmEngine

        assert self.cluster_config is not None  # `check` has refused this
        return SlurmEngine(self.cluster_config, self.plugins, allowed, tell)


def run(
    suite: terminal.SuiteArgument,
    scale: terminal.ScaleOption = "laptop",
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    jobs: Annotated[int | None, typer.Option(min=1, help="Concurrent training passes; default: one per core.")] = None,
    rerun: Annotated[Rerun, typer.Option(help="Runs to repeat; stale: recorded with other code or data.")] = "none",
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Id of a run, label of a run or cell, or a pattern such as 'fptt *'; repeatable.", metavar="RUN"
        ),
    ] = None,
    changes: terminal.ChangesOption = terminal.NO_CHANGES,
    timeout: Annotated[
        float | None, typer.Option(parser=units.seconds, help="Time limit of each pass: 90s, 15m, 2h.", metavar="TIME")
    ] = None,
    memory_limit: terminal.MemoryLimitOption = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="Run on a cluster: tcp://HOST:8786 (a Dask scheduler), local:N, slurm.", metavar="WHERE"),
    ] = None,
    cluster_config: Annotated[
        Path | None, typer.Option(help="YAML with the settings of `--cluster slurm`.", metavar="FILE")
    ] = None,
    plugin: terminal.PluginOption = terminal.NONE,
    paper: terminal.PaperOption = terminal.NONE,
    source: terminal.SourceOption = terminal.NONE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records of the runs made now as JSON.")] = False,
) -> None:
    """Run a suite. Recorded runs are skipped; exits with 1 if any selected run has failed."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.running.engines.local import start_fork_server
    from throughtime.running.sweep import Request, sweeps

    plugins = _absolute(plugin)
    place = Place(cluster, cluster_config, jobs, timeout, memory_limit, plugins)
    place.check()
    add_source(*source)
    if not cluster:
        start_fork_server()  # both import torch
    terminal.load_plugins(plugin, paper)
    request = Request(suite, scale, Store(results), only or (), rerun, changes)
    command = request.command(plugins, _absolute(paper), _absolute(source))
    start = time.monotonic()
    records: list[Record] = []
    failed: dict[str, int] = {}
    for sweep in sweeps(request):
        made = _run(sweep, place, command, as_json)
        records += made
        if unfinished := sweep.unfinished(made):
            failed[sweep.planned[0].spec.suite] = len(unfinished)
    if as_json:
        print_text(json.dumps([json.loads(record.model_dump_json(by_alias=True)) for record in records]))
    else:
        print_text(closing_line(sweep, failed, time.monotonic() - start), file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _absolute(paths: Sequence[Path]) -> list[str]:
    return [str(path.resolve()) for path in paths]


def _run(sweep: Sweep, place: Place, command: Sequence[str], quiet: bool) -> list[Record]:
    """Run the due runs of a sweep; return their records."""
    if not quiet:
        _print_not_repeated(sweep.selected, sweep.due, sweep.request.store.folder)
    with terminal.stoppable("interrupted: finished runs are recorded; repeat the command to continue"):
        return sweep.run(place.engine, command, progress_for(quiet))


def closing_line(sweep: Sweep, failed: Mapping[str, int], seconds: float) -> str:
    """Return the last line of a command: how many runs are recorded or failed, and the next command.

    Args:
        sweep: the last sweep.
        failed: number of failed or incomplete runs by suite, for suites with some.
        seconds: wall time.
    """
    results, took = sweep.request.store.folder, units.duration(seconds)
    where = [] if results == DEFAULT_RESULTS else ["--results", str(results)]
    for suite, count in failed.items():
        why = shlex.join(["throughtime", "status", suite, *where])
        return f"{count} of the runs of {suite} failed or are incomplete, {took}; next: `{why}` shows the reasons"
    suite, count = sweep.planned[0].spec.suite, len(sweep.selected)
    report = shlex.join(["throughtime", "report", suite, *where])
    return f"{count} run{'s are' if count != 1 else ' is'} recorded, {took}; next: `{report}`"


def _print_not_repeated(selected: list[Planned], due: list[Planned], results: Path) -> None:
    """Print how many of the selected runs are not repeated although they are stale, failed or incomplete."""
    ids = {p.id for p in due}
    left = [p for p in selected if p.id not in ids]
    notes = []
    if stale := [p for p in left if p.stale]:
        causes = ", ".join(dict.fromkeys(str(p.stale) for p in stale))
        notes.append(f"{len(stale)} are stale ({causes}), `--rerun stale` repeats them")
    if mixed := {p.spec.cell for p in due} & {p.spec.cell for p in stale}:
        notes.append(f"{len(mixed)} cells get runs beside stale ones, and tables show the new ones alone")
    if failed := sum(p.recorded not in ("ok", "skipped") for p in left):
        notes.append(f"{failed} failed, `--rerun failed` repeats them")
    if incomplete := sum(bool(p.missing_passes) for p in left):
        notes.append(f"{incomplete} lack a measuring pass, `--rerun failed` runs it")
    if not due:
        notes.insert(0, f"nothing to do: all {len(selected)} runs are recorded in {results}")
    if notes:
        print_text("; ".join(notes))
