"""The commands `throughtime baseline update`, `baseline unpack`, `baseline verify` and `baseline repeat`."""

from __future__ import annotations

import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from throughtime.commands.repeat import repeat
from throughtime.commands.run import run
from throughtime.commands.terminal import (
    NONE,
    BaselinesOption,
    PaperOption,
    PluginOption,
    RepetitionTimeOption,
    SourceOption,
    SuiteArgument,
    load_plugins,
    load_results,
    stoppable,
)
from throughtime.errors import UsageError, first_of
from throughtime.printing import print_text
from throughtime.spec import RunSpec, Scale

if TYPE_CHECKING:
    from throughtime.records.record import Record
    from throughtime.records.results import Results
    from throughtime.records.store import Store

baseline_app = typer.Typer(help="Committed baselines: results that CI compares new ones with.", no_args_is_help=True)
baseline_app.command()(repeat)


@baseline_app.command()
def update(
    suite: SuiteArgument,
    reason: Annotated[str, typer.Option("--reason", "--why", help="The reason, for the log.", metavar="TEXT")],
    scale: Annotated[Scale, typer.Option(help="Scale of the suite.")] = "tiny",
    baselines: BaselinesOption = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Results to use; missing runs are added. Default: a new temporary folder.", metavar="DIR"),
    ] = None,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Run nothing: keep the committed runs, and add those of --results.")
    ] = False,
    plugin: PluginOption = NONE,
    paper: PaperOption = NONE,
    source: SourceOption = NONE,
) -> None:
    """Run a suite, write its baseline, print what changed, and log who renewed it and why."""
    from throughtime.comparing.baselines import log_renewal, write_baseline
    from throughtime.comparing.compare import compare_sides, gates_beside
    from throughtime.comparing.sides import Side
    from throughtime.comparing.text import text
    from throughtime.records import baselines as files
    from throughtime.records.repetitions import keep_repetitions
    from throughtime.records.store import Store
    from throughtime.suites.suite import load_suite

    if not reason.strip():
        raise UsageError("a baseline is not renewed without a reason", "--reason")
    if recorded and results is None:
        raise UsageError("needs the folder of the runs", "--recorded", "add --results DIR")
    load_plugins(plugin, paper)
    name = load_suite(suite, scale).name
    path = files.baseline_path(name, scale, baselines or files.BASELINES)
    before = files.read_baseline(path) if path.exists() else []
    with _folder_of_runs(results) as folder:
        if not recorded:
            try:
                run(suite, scale=scale, results=folder, plugin=plugin, paper=paper, source=source)
            except typer.Exit as end:
                if end.exit_code != 1:  # interrupted; failed runs are records too, and show below
                    raise
        elif before:
            files.unpack(path, Store(folder))
        load_results(folder, [name])  # refuses a folder without runs, and names those that cannot be read
        own = _own_runs(suite, scale, Store(folder), {record.id for record in before})
        if recorded:
            _print_recorded(suite, scale, own)
            _refuse_loss(before, own)
        records = [own.runs.record(run_id) for run_id in own.runs.runs]
        curves = {run_id: own.runs.curve(run_id) for run_id in own.runs.runs}
        comparison = compare_sides(Side(str(path), before, []), Side(str(folder), records, []), gates_beside(path))
        write_baseline(path, records, curves)
    keep_repetitions(path.parent, name, scale, curves)
    log_renewal(path, reason, comparison.counts)
    print_text(text(comparison) if before else f"{len(records)} runs, no baseline before")
    print_text(f"{path}: {path.stat().st_size / 1e6:.2f} MB; logged in {path.parent / files.LOG}")


@contextmanager
def _folder_of_runs(results: Path | None) -> Iterator[Path]:
    """Yield the folder of `--results`, or a new temporary one, which stays; if anything fails its name is printed."""
    if results is not None:
        yield results
        return
    from throughtime.records.files import RECORD

    folder = Path(tempfile.mkdtemp(prefix="throughtime-"))
    try:
        yield folder
    except BaseException:
        if any(folder.glob(f"*/*/{RECORD}")):
            print_text(f"finished runs are in {folder}: add --results {folder} to continue", file=sys.stderr)
        else:
            shutil.rmtree(folder)
        raise


class _Own(NamedTuple):
    """The runs of a folder that belong to a suite as it is now, with further replicates of its cells."""

    runs: Results
    """The current ones: a run with other settings supersedes none of them."""
    planned: list[RunSpec]
    """The runs of the suite; of a cell that is tuned only if its trials are in the folder."""
    remaining: set[str]
    """Ids of committed runs whose cell is tuned, and whose trials, which no baseline has, are not in the folder."""
    others: int
    """Number of runs that the suite lacks, or has with other settings."""


def _own_runs(suite: str, scale: Scale, store: Store, committed: Set[str]) -> _Own:
    from throughtime.records.results import Results
    from throughtime.running.plan import run_of
    from throughtime.running.sweep import Request, sweeps
    from throughtime.suites.suite import load_suite

    loaded = load_suite(suite, scale)
    planned = [p.spec for sweep in sweeps(Request(suite, scale, store)) for p in sweep.planned if not p.spec.trial]
    cells = {_first(spec).id({}) for spec in planned}
    untried = {spec.cell for spec in loaded.expand(scale)} - {spec.cell for spec in planned}
    remaining, others = set[str](), set[str]()

    def keep(record: Record) -> bool:
        if record.spec.scale != scale:
            return False
        if record.id in committed and record.spec.cell in untried:
            remaining.add(record.id)
            return True
        if run_of(_first(record.spec)) in cells:
            return True
        others.add(record.id)
        return False

    runs = Results(store, [loaded.name], keep)
    return _Own(runs, planned, remaining & set(runs.runs), len(others))


def _print_recorded(suite: str, scale: Scale, own: _Own) -> None:
    """Print how many runs of a suite are recorded, and what is left out; refuse a folder without any."""
    from throughtime.records.results import KEYS
    from throughtime.running.plan import run_of

    wanted = {(_first(spec).id({}), spec.replicate) for spec in own.planned}
    specs = [own.runs.record(run).spec for run in own.runs.runs if run not in own.remaining]
    recorded = sum((run_of(_first(spec)), spec.replicate) in wanted for spec in specs)
    folder = str(own.runs.folder)
    command = shlex.join(["throughtime", "run", suite, "--scale", scale, "--results", folder])
    if own.remaining:
        print_text(f"committed runs that stay, since the trials of their cells are not here: {len(own.remaining)}")
    missing = f"; `{command}` makes the others" if recorded < len(wanted) else ""
    print_text(f"{recorded} of {len(wanted)} runs are recorded{missing}")
    if further := len(specs) - recorded:
        print_text(f"further replicates of the suite's cells: {further}")
    if own.others:
        print_text(f"runs left out because the suite lacks them, or has them with other settings: {own.others}")
    if older := int(own.runs.frame.groupby(KEYS)["superseded"].first().sum()):
        print_text(f"runs left out because the newest of their cell has other code or library versions: {older}")
    if not own.runs.runs:
        raise UsageError(f"no run of {suite} at scale {scale} is recorded", folder, f"`{command}` makes them")


def _refuse_loss(before: Sequence[Record], own: _Own) -> None:
    """Refuse to remove committed runs because newer runs of their cell, of other replicates, have other code or library
    versions."""
    from throughtime.running.plan import run_of

    def place(spec: RunSpec) -> tuple[str, int]:
        return run_of(_first(spec)), spec.replicate

    cells, stay = (
        {run_of(_first(spec)) for spec in own.planned},
        {place(own.runs.record(run).spec) for run in own.runs.runs},
    )
    lost = [record.label for record in before if place(record.spec) not in stay and place(record.spec)[0] in cells]
    if lost:
        newer = "newer runs of their cells have other code or library versions"
        hint = "complete the cells with the code of their first runs, or run these again with today's"
        raise UsageError(f"would remove committed runs, because {newer}: {first_of(lost, 4)}", hint=hint)


def _first(spec: RunSpec) -> RunSpec:
    """Return the first replicate of a run's cell."""
    return spec.model_copy(update={"replicate": 0})


@baseline_app.command()
def unpack(
    folder: Annotated[Path, typer.Argument(help="Results folder to write into.", metavar="DIR")],
    baselines: BaselinesOption = None,
    submissions: Annotated[
        Path | None, typer.Option(help="Also the runs of submissions, labelled with their authors.", metavar="DIR")
    ] = None,
) -> None:
    """Write the runs of all baselines that a results folder lacks to it, for `run`, tables, figures and verdicts."""
    from throughtime.records import baselines as files
    from throughtime.records.store import Store

    source, store = baselines or files.BASELINES, Store(folder)
    for path in files.baselines_to_read(source):
        print_text(f"{path.name}: {files.unpack(path, store)} runs")
    if submissions is not None:
        from throughtime.comparing.submissions import unpack_submissions

        print_text(f"submissions: {unpack_submissions(submissions, store)} runs")


@baseline_app.command()
def verify(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Baselines; default: all of results/baselines.", metavar="FILE")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Repeat a run of the lines that changed since this git revision.", metavar="REV")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Which run is repeated; default: a random one.")] = None,
    timeout: RepetitionTimeOption = None,
    plugin: PluginOption = NONE,
) -> None:
    """Check the lines of baselines, repeat a run of each, print values edited by hand; exits with 1 if there is one."""
    from throughtime.comparing.audit import SECONDS, audit
    from throughtime.records import baselines

    load_plugins(plugin)
    paths = files or baselines.baselines_to_read(baselines.BASELINES, "name the files to verify")
    for path in paths:
        baselines.read_baseline(path)  # refuses lines that contradict themselves, before anything runs
    drawn = secrets.randbelow(2**32) if seed is None else seed
    edited, unclear = 0, 0
    with stoppable():
        for path in paths:
            outcome = audit(path, since, drawn, timeout or SECONDS, plugin)
            edited, unclear = edited + len(outcome.edited), unclear + len(outcome.unclear)
            print_text(outcome, flush=True)
    undecided = f", not decided by one run: {unclear}" if unclear else ""
    print_text(f"values edited by hand: {edited}{undecided} (--seed {drawn})")
    if edited:
        raise typer.Exit(1)
