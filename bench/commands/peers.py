"""The command `throughtime peers`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from throughtime.commands.terminal import JsonOption, print_rows


def peers(
    works: Annotated[
        list[str] | None,
        typer.Argument(help="Works, by name or pattern, such as 'train-*'; all if left out.", metavar="WORK"),
    ] = None,
    implementation: Annotated[
        list[str] | None, typer.Option(help="Beside ours, this one only; repeatable.", metavar="NAME")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of every implementation.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes for each implementation and work.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table, rows and figure.", metavar="DIR", file_okay=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Do the same work with ours and with other libraries, side by side; exits with 1 if an answer is not ours."""
    from functools import partial

    from throughtime.peers.run import Outcome, in_fresh_process, side_by_side
    from throughtime.peers.table import shown, summary, write
    from throughtime.peers.workload import chosen, entrants

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    selected, names = chosen(works or []), implementation or []
    for work in selected:
        entrants(work, names)  # a wrong name is told before anything runs
    outcome, ask = Outcome([], []), partial(in_fresh_process, tell=tell)
    for work in selected:
        outcome += side_by_side(work, names, threads=threads, rounds=rounds, ask=ask, tell=tell)
        if out is not None:
            write(outcome, out)  # after each work, so that what ends the command loses no more than one
    if as_json:
        print(json.dumps([row._asdict() for row in outcome.rows]))
    else:
        for of_bytes in (False, True):
            print_rows(shown([row for row in outcome.rows if (row.unit == "byte") is of_bytes]), False)
        for line in summary(outcome.rows):
            print(line)
    for left_out in outcome.left_out:
        print(left_out, file=sys.stderr if as_json else sys.stdout)
    if any(left_out.fault for left_out in outcome.left_out):
        raise typer.Exit(1)
