"""The command `throughtime export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from throughtime.commands.terminal import NONE, PluginOption, ResultsOption, load_plugins
from throughtime.records.store import DEFAULT_RESULTS


def export(
    run: Annotated[str, typer.Argument(help="Id or label of a run whose weights were saved.", metavar="RUN")],
    file: Annotated[Path, typer.Argument(help="The NIR file to write (.nir).", dir_okay=False)],
    dt: Annotated[float, typer.Option(help="Length of a step, in seconds.")] = 1e-3,
    scheme: Annotated[
        Literal["exponential", "euler"], typer.Option(help="How the receiver discretises time.")
    ] = "exponential",
    weights: Annotated[Literal["final", "best_validation"], typer.Option(help="The weights to write.")] = "final",
    results: ResultsOption = DEFAULT_RESULTS,
    plugin: PluginOption = NONE,
) -> None:
    """Write the trained network of a run as a NIR file, which other libraries and neuromorphic chips read."""
    load_plugins(plugin)
    from throughtime.harness.weights import load_network
    from throughtime.networks.nir import imported, to_nir

    nir = imported()
    graph = to_nir(load_network(results, run, weights), dt, scheme)
    nir.write(file, graph)
    kinds = ", ".join(f"{name} ({type(node).__name__})" for name, node in graph.nodes.items())
    print(f"{file}: {kinds}; dt {dt:g} s, scheme {scheme}, reset to 0")
