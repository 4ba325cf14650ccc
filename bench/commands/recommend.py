"""The command `throughtime recommend`: the rules that fit a user's memory, by exact bytes and recorded accuracies."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from throughtime.commands import terminal
from throughtime.printing import print_text
from throughtime.suites import units


def recommend(
    steps: Annotated[int, typer.Option(min=1, max=terminal.LARGEST, help="Length T of the sequences.")],
    memory: Annotated[int, typer.Option(parser=units.size, help="Memory for training: 256kB, 8MB.", metavar="SIZE")],
    neuron: terminal.NeuronOption = "lif",
    hidden: terminal.HiddenOption = terminal.HIDDEN,
    inputs: terminal.InputsOption = 40,
    outputs: terminal.OutputsOption = 10,
    batch: terminal.BatchOption = 1,
    results: Annotated[
        Path | None, typer.Option(help="Folder of results, in the place of committed ones.", metavar="DIR")
    ] = None,
    plugin: terminal.PluginOption = terminal.NONE,
    as_json: terminal.JsonOption = False,
) -> None:
    """Rank the rules whose exact bytes fit a memory, by recorded accuracies at the nearest length.

    A run is solved from an accuracy of 80 % on. Bytes are counted with two batches of each rule: some seconds for all
    rules, at any length.
    """
    from throughtime.measuring.training_bytes import Sizes
    from throughtime.registry import NEURONS
    from throughtime.reports.recommend import evidence_in, recommendations

    terminal.load_plugins(plugin)
    NEURONS[neuron]  # a wrong name is refused before the records are read
    sizes = Sizes(tuple(hidden), inputs, outputs, batch)

    def counting(rule: str) -> None:
        print_text(f" counting the bytes of {rule}", file=sys.stderr, flush=True)

    frame = recommendations(evidence_in(results), steps, memory, neuron, sizes, counting)
    rows = json.loads(frame.to_json(orient="records"))
    if as_json:
        print_text(json.dumps(rows))
        return
    terminal.print_rows([_shown(row) for row in rows if row["fits"]], False)
    larger = [f"{row['rule']} {row['bytes']:,.0f} B" for row in rows if not row["fits"] and row["bytes"] is not None]
    if larger:
        print_text(f"need more memory: {', '.join(larger)}")
    for row in rows:
        if row["missing"] is not None:
            print_text(f"cannot train it: {row['rule']}: {row['missing']}")


def _shown(row: dict[str, Any]) -> dict[str, str]:
    evidence = "no evidence"
    if row["accuracy"] is not None:
        runs = f"{row['solved']:.0f} of {row['n']:.0f} solved, median {100 * row['accuracy']:.1f} %"
        evidence = (
            f"{runs}: {row['task']}, T = {row['T']:.0f}, at most {row['epochs']:.0f} epochs, suite {row['suite']}"
        )
    return {"rule": row["rule"], "memory (B)": f"{row['bytes']:,.0f}", "evidence": evidence}
