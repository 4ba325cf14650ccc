"""The commands `throughtime baseline update` and `baseline unpack`."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from throughtime.commands.run import run
from throughtime.commands.terminal import NONE, PluginOption, SourceOption, SuiteArgument
from throughtime.errors import UsageError
from throughtime.spec import Scale

baseline_app = typer.Typer(help="Committed baselines: results that CI compares new ones with.", no_args_is_help=True)


@baseline_app.command()
def update(
    suite: SuiteArgument,
    why: Annotated[str, typer.Option(help="The reason, for the log.", metavar="TEXT")],
    scale: Annotated[Scale, typer.Option(help="Scale of the suite.")] = "tiny",
    baselines: Annotated[
        Path | None, typer.Option(help="Folder of baselines; default: results/baselines.", metavar="DIR")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Results to use; missing runs are added. Default: run everything again.", metavar="DIR"),
    ] = None,
    plugin: PluginOption = NONE,
    source: SourceOption = NONE,
) -> None:
    """Run a suite, write its baseline, print what changed, and log who renewed it and why."""
    from throughtime.comparing import baselines as files
    from throughtime.comparing.compare import compare_sides, gates_beside
    from throughtime.comparing.sides import Side
    from throughtime.comparing.text import text
    from throughtime.records.results import Results
    from throughtime.suites.suite import load_suite

    if not why.strip():
        raise UsageError("a baseline is not renewed without a reason", "--why")
    with tempfile.TemporaryDirectory(prefix="throughtime-") as fresh:
        folder = results or Path(fresh)
        with suppress(typer.Exit):  # failed runs are records too, and show below
            run(suite, scale=scale, results=folder, plugin=plugin, source=source)
        made = Results.load(folder, [load_suite(suite).name]).select(scale=scale)
        records = [made.record(run_id) for run_id in made.frame["id"]]
        curves = {run_id: made.curve(run_id) for run_id in made.frame["id"]}
    path = files.baseline_path(records[0].spec.suite, scale, baselines or files.BASELINES)
    before = files.read_baseline(path) if path.exists() else []
    files.write_baseline(path, records, curves)
    comparison = compare_sides(Side(str(path), before, []), Side(str(folder), records, []), gates_beside(path))
    files.log_renewal(path, why, comparison.counts)
    print(text(comparison) if before else f"{len(records)} runs, no baseline before")
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB; logged in {path.parent / files.LOG}")


@baseline_app.command()
def unpack(
    folder: Annotated[Path, typer.Argument(help="Results folder to write into.", metavar="DIR")],
    baselines: Annotated[
        Path | None, typer.Option(help="Folder of baselines; default: results/baselines.", metavar="DIR")
    ] = None,
) -> None:
    """Write the runs of all baselines to a results folder, for tables, figures and verdicts."""
    from throughtime.comparing import baselines as files
    from throughtime.records.store import Store

    source = baselines or files.BASELINES
    paths = [path for path in sorted(source.glob("*.jsonl")) if path.name != files.LOG]
    paths = [path for path in paths if not path.name.endswith(files.CURVES)]
    if not paths:
        raise UsageError("there is no baseline in this folder", str(source))
    store = Store(folder)
    for path in paths:
        print(f"{path.name}: {files.unpack(path, store)} runs")
