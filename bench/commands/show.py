"""The command that shows a trained network: `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from throughtime.commands import terminal
from throughtime.printing import print_text
from throughtime.records.store import DEFAULT_RESULTS


def show(
    run: Annotated[str, typer.Argument(help="A run's id, or its label such as `fptt ltc digits #0`.", metavar="RUN")],
    sequence: Annotated[
        int, typer.Option(min=0, max=terminal.LARGEST, help="Number of the test sequence, or of the first test image.")
    ] = 0,
    weights: Annotated[
        Literal["final", "best_validation"], typer.Option(help="Weights of the last epoch, or best on validation.")
    ] = "final",
    results: terminal.ResultsOption = DEFAULT_RESULTS,
    out: terminal.OutOption = Path("reports/out/figures"),
    style: terminal.StyleOption = "screen",
    plugin: terminal.PluginOption = terminal.NONE,
    source: terminal.SourceOption = terminal.NONE,
) -> None:
    """Draw spikes, membranes and time constants of a trained network, or the detections of one that finds objects;
    needs a suite with `keep_weights: true`."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.reports.cells import slug
    from throughtime.reports.detections import detects, draw_detections
    from throughtime.reports.drawing import save
    from throughtime.reports.look import Look, figure_look
    from throughtime.reports.trained_network import draw_network

    terminal.load_plugins(plugin)
    add_source(*source)
    loaded = terminal.load_results(results)
    draw, what = (draw_detections, "detections") if detects(loaded, run) else (draw_network, "network")
    # Figures of other sequences or weights of a run stay beside each other.
    name = f"{what}-{slug(loaded.record(run).label)}"
    name += f"-sequence-{sequence}" * (sequence > 0) + "-best" * (weights != "final")
    with figure_look(Look(style)):
        paths = save(draw(loaded, run, sequence, weights), out, name)
    print_text(*paths, sep="\n")
