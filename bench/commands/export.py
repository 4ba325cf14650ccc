"""The commands of `throughtime export`: results for other tools, and a trained network for other libraries."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from throughtime.commands.terminal import NONE, OutOption, PluginOption, ResultsOption, load_plugins, load_results
from throughtime.errors import UsageError
from throughtime.printing import print_text
from throughtime.records.store import DEFAULT_RESULTS

export_app = typer.Typer(help="Results for other tools: parquet, TensorBoard, W&B, NIR.", no_args_is_help=True)
SuitesArgument = Annotated[list[str] | None, typer.Argument(help="Suites; default: all in the results.")]


@export_app.command()
def parquet(
    suite: SuitesArgument = None, results: ResultsOption = DEFAULT_RESULTS, out: OutOption = Path("export")
) -> None:
    """Write runs.parquet and curves.parquet: a row for each run, and for each epoch of its learning curve."""
    from throughtime.records.exports import to_parquet

    for path in to_parquet(load_results(results, suite or ()), out):
        print_text(path)


@export_app.command()
def tensorboard(
    suite: SuitesArgument = None, results: ResultsOption = DEFAULT_RESULTS, out: OutOption = Path("export/tensorboard")
) -> None:
    """Write TensorBoard logs of curves, options and measures; needs the package tensorboard."""
    from throughtime.records.exports import to_tensorboard

    written = to_tensorboard(load_results(results, suite or ()), out)
    print_text(f"{len(written)} runs; next: `tensorboard --logdir {out}`")


@export_app.command("wandb")
def weights_and_biases(
    suite: SuitesArgument = None, results: ResultsOption = DEFAULT_RESULTS, out: OutOption = Path("export")
) -> None:
    """Write offline runs of Weights & Biases, without network; needs the package wandb."""
    from throughtime.records.exports import to_wandb

    written = to_wandb(load_results(results, suite or ()), out)
    print_text(f"{len(written)} runs; next: `wandb sync {out / 'wandb'}/offline-run-*`")


@export_app.command("nir")
def network(
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
    if not (dt > 0 and math.isfinite(dt)):
        raise UsageError(f"should be a time above 0, in seconds, not {dt:g}", "--dt")
    if file.suffix != ".nir":
        raise UsageError("the output format is NIR", str(file), f"did you mean {file.with_suffix('.nir')}?")
    load_plugins(plugin)
    from throughtime.harness.weights import load_network
    from throughtime.networks.nir import imported, to_nir

    nir = imported()
    graph = to_nir(load_network(results, run, weights), dt, scheme)
    file.parent.mkdir(parents=True, exist_ok=True)
    nir.write(file, graph)
    kinds = ", ".join(f"{name} ({type(node).__name__})" for name, node in graph.nodes.items())
    print_text(f"{file}: {kinds}; dt {dt:g} s, scheme {scheme}, reset to 0")
