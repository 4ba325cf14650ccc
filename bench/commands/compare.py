"""The command `throughtime compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from throughtime.commands.terminal import NONE, PluginOption, load_plugins
from throughtime.errors import UsageError
from throughtime.printing import print_text
from throughtime.spec import Scale

SidesArgument = Annotated[
    list[str],
    typer.Argument(
        help="BASE and NEW: results folders, baselines (.jsonl, .jsonl.gz), or versions in one folder "
        "(results/runs@rule=3f2a). "
        "With --interleaved: the suite to time.",
        metavar="BASE NEW",
    ),
]
GatesOption = Annotated[
    Path | None,
    typer.Option(help="YAML of gates; default: those beside BASE, or the gates of the package.", metavar="FILE"),
]
FormOption = Annotated[Literal["text", "markdown", "json", "html"], typer.Option("--format", help="Output format.")]


def compare(
    sides: SidesArgument,
    gates: GatesOption = None,
    suite: Annotated[list[str] | None, typer.Option(help="Only this suite; repeatable.", metavar="NAME")] = None,
    scale: Annotated[Scale | None, typer.Option(help="Only this scale; with --interleaved, default tiny.")] = None,
    form: FormOption = "text",
    out: Annotated[
        Path | None, typer.Option(help="Write to this file instead of the terminal.", metavar="FILE")
    ] = None,
    interleaved: Annotated[
        str | None, typer.Option(help="Time a git revision and the working tree in alternation.", metavar="REV")
    ] = None,
    stale_ok: Annotated[
        bool, typer.Option("--stale-ok", help="Accept results that other code than today's made.")
    ] = False,
    rounds: Annotated[int | None, typer.Option(min=2, help="With --interleaved: number of rounds; default 5.")] = None,
    plugin: PluginOption = NONE,
) -> None:
    """Compare two result sets; exits with 0 (passed), 1 (regressed) or 2 (not comparable, or usage error)."""
    from throughtime.collector import gc_paused
    from throughtime.comparing.compare import compare_results
    from throughtime.comparing.formats import FORMS
    from throughtime.comparing.interleaved import compare_interleaved
    from throughtime.comparing.wording import headline
    from throughtime.whole_files import write_whole

    if interleaved is not None:
        if stale_ok:
            raise UsageError("has no effect with --interleaved, which runs today's code", "--stale-ok")
        if len(sides) != 1 or suite:
            raise UsageError("takes exactly one suite", "--interleaved", "throughtime compare --interleaved REV SUITE")
        comparison = compare_interleaved(interleaved, sides[0], scale or "tiny", rounds or 5, plugin, gates)
    else:
        if len(sides) != 2:
            raise UsageError(f"compare takes two result sets, not {len(sides)}", hint="throughtime compare BASE NEW")
        if rounds:
            raise UsageError("has no effect without --interleaved", "--rounds")
        load_plugins(plugin)  # the code of their components is compared with that of the records
        base, new = sides
        comparison = compare_results(base, new, gates, suite or (), scale, stale_ok)
    with gc_paused():
        written = FORMS[form](comparison)
    try:
        if out is None:
            print_text(written, flush=True)
        else:
            write_whole(out, written + "\n")
            print_text(f"{out}: {headline(comparison)}", flush=True)
    except OSError as error:  # exit code 1 would mean a regression
        raise UsageError(f"the comparison cannot be written: {error.strerror}", str(out or "")) from error
    raise typer.Exit(comparison.exit_code)
