"""The command `throughtime peers`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from throughtime.commands.terminal import JsonOption, print_rows
from throughtime.printing import print_text


def peers(
    works: Annotated[
        list[str] | None,
        typer.Argument(help="Names or patterns of workloads, such as 'train-*'; default: all.", metavar="WORKLOAD"),
    ] = None,
    implementation: Annotated[
        list[str] | None, typer.Option(help="Compare with this one only; repeatable.", metavar="NAME")
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="Threads of each implementation; repeatable. Default: 2.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes for each implementation and workload.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Folder for table, rows and figure.", metavar="DIR", file_okay=False)
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Markdown whose text between the lines <!-- peers --> and <!-- /peers --> becomes the table of times.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare speed and memory with other libraries on the same workloads; exits with 1 if an answer differs."""
    from functools import partial

    from throughtime.peers.run import PeerResults, in_fresh_process, side_by_side
    from throughtime.peers.table import insert, marked, shown, summary, write
    from throughtime.peers.workload import chosen, entrants

    def tell(line: str) -> None:
        print_text(line, file=sys.stderr, flush=True)

    selected, names = chosen(works or []), implementation or []
    for work in selected:
        entrants(work, names)  # refuses an unknown name before the first measurement
    if into is not None:
        marked(into)  # refuses a page without a place for the table, too
    outcome, ask = PeerResults([], []), partial(in_fresh_process, tell=tell)
    for work in selected:
        outcome = outcome.and_then(side_by_side(work, names, threads=threads or [2], rounds=rounds, ask=ask, tell=tell))
        if out is not None:
            write(outcome, out)  # after each workload, so that an interruption loses at most one
    if as_json:
        print_text(json.dumps([row._asdict() for row in outcome.rows]))
    else:
        for in_bytes in (False, True):
            print_rows(shown([row for row in outcome.rows if (row.unit == "byte") is in_bytes]), False)
        for line in summary(outcome.rows):
            print_text(line)
    for left_out in outcome.left_out:
        print_text(left_out, file=sys.stderr if as_json else sys.stdout)
    if into is not None:
        insert(outcome.rows, into)
    if any(left_out.fault for left_out in outcome.left_out):
        raise typer.Exit(1)
