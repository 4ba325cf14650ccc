"""The command `throughtime submit`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from throughtime.commands import terminal
from throughtime.errors import UsageError
from throughtime.printing import print_text
from throughtime.records.store import DEFAULT_RESULTS
from throughtime.suites import units


def submit(
    suite: Annotated[str | None, typer.Argument(help="A suite of the package.", metavar="SUITE")] = None,
    author: Annotated[str, typer.Option(help="Your name, as tables show it.", metavar="NAME")] = "",
    scale: terminal.ScaleOption = "laptop",
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    rule: terminal.LabelsOption = terminal.NO_LABELS,
    plugin: terminal.PluginOption = terminal.NONE,
    check: Annotated[
        Path | None, typer.Option(help="Check a submission in place of writing one; runs its code.", metavar="FILE")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="With --check: which run is repeated; default: a random one.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=units.seconds, help="With --check: time limit of the run; default: 30m.", metavar="TIME"),
    ] = None,
) -> None:
    """Write your recorded runs of a suite to one file, to be added to the tables by a pull request."""
    if (suite is None) == (check is None):
        raise UsageError("give a suite to submit, or a file to check", hint="throughtime submit SUITE --author NAME")
    if check is not None:
        elsewhere = {
            "author": author or None,
            "scale": None if scale == "laptop" else scale,
            "results": None if results == DEFAULT_RESULTS else results,
        }
        terminal.refuse_unused("with --check", **elsewhere, rule=rule, plugin=plugin)
        return _check(check, seed, timeout)
    if seed is not None or timeout is not None:
        raise UsageError("has an effect with --check alone", "--timeout" if seed is None else "--seed")
    from throughtime.comparing.submissions import write_submission
    from throughtime.registry import KINDS

    if not author.strip():
        raise UsageError("tables show results with their author", "--author", "--author 'Your Name'")
    terminal.load_plugins(plugin)
    chosen = terminal.load_results(results, [str(suite)]).select(scale=scale).matching(rule=rule)
    if chosen.frame.empty:
        raise UsageError(f"no run of {suite} at scale {scale} is recorded", str(results))
    for kind, registry in KINDS.items():
        for name in sorted({*chosen.frame[f"{kind}_name"]} - {*registry.names()}):
            raise UsageError(f"the {kind} {name} is not of the package", hint="add --plugin FILE.py, its source")
    stale = chosen.stale()
    if len(stale):
        hint = f"throughtime run {suite} --scale {scale} --results {results} --rerun stale"
        raise UsageError(f"other code than today's made {len(stale)} of {len(chosen.frame)} runs", hint=hint)
    path = write_submission([chosen.record(run) for run in chosen.frame["id"]], author, plugin)
    print_text(f"{path}: {len(chosen.frame)} runs, {path.stat().st_size / 1e3:.0f} kB")
    print_text("next: `throughtime submit --check " + str(path) + "`, then commit the file and open a pull request")


def _check(path: Path, seed: int | None, timeout: float | None) -> None:
    from throughtime.comparing.audit import SECONDS
    from throughtime.comparing.submissions import check_submission

    drawn = secrets.randbelow(2**32) if seed is None else seed
    with terminal.stoppable():
        outcome = check_submission(path, drawn, timeout or SECONDS)
    print_text(f"{outcome} (--seed {drawn})")
    if outcome.edited or outcome.undecided:
        raise typer.Exit(1)
