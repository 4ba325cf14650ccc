"""Export of results for other tools: parquet files, TensorBoard logs, and Weights & Biases' offline runs."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from throughtime.errors import UsageError
from throughtime.records.record import Record
from throughtime.records.results import Results
from throughtime.registry import KINDS


def to_parquet(results: Results, folder: Path) -> list[Path]:
    """Write `runs.parquet`, a row for each run with the columns of `Results.frame`, and `curves.parquet`, a row for
    each run and epoch of its learning curve with the run's id."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = results.frame.assign(hidden=results.frame["hidden"].map(lambda sizes: None if sizes is None else str(sizes)))
    curves = pd.DataFrame([{"id": run, **row} for run in results.frame["id"] for row in results.curve(run)])
    curves = curves if len(curves) else pd.DataFrame({"id": pd.Series(dtype=str)})
    paths = [folder / "runs.parquet", folder / "curves.parquet"]
    for frame, path in zip((runs, curves), paths, strict=True):
        frame.to_parquet(path, engine="pyarrow", index=False)
    return paths


def to_tensorboard(results: Results, folder: Path) -> list[Path]:
    """Write a log for each run into `<suite>/<scale>/<label>`: the learning curve over iterations, the options as
    hyperparameters with the measures of the record as their metrics, and its command as text.

    Raises:
        UsageError: tensorboard is not installed.
    """
    require("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    paths = []
    for record in _records(results):
        path = folder / record.spec.suite / record.spec.scale / file_name(record.label)
        with SummaryWriter(str(path)) as log:
            for row in results.curve(record.id):
                for name, value in scalars(row).items():
                    log.add_scalar(name.replace(".", "/"), value, row["iteration"])
            log.add_text("command", record.command)
            options = {
                name: value if isinstance(value, bool | int | float) else str(value)
                for name, value in _options(record).items()
            }
            log.add_hparams(options, _measures(record), run_name=".")
        paths.append(path)
    return paths


def to_wandb(results: Results, folder: Path) -> list[Path]:
    """Write an offline run of Weights & Biases for each run, which `wandb sync` uploads: the learning curve over
    iterations, the spec as configuration, and the measures of the record as summary. No network is used.

    The project is the suite, the group the cell. Each run takes about a second.

    Raises:
        UsageError: wandb is not installed.
    """
    require("wandb")
    import wandb

    settings = wandb.Settings(
        mode="offline",
        silent=True,
        console="off",
        disable_git=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for record in _records(results):
        config = record.spec.model_dump(mode="json") | {"command": record.command, "status": record.status}
        with wandb.init(
            dir=str(folder),
            project=record.spec.suite,
            group=record.label.rpartition(" #")[0],
            name=record.label,
            id=record.id,
            config=config,
            settings=settings,
        ) as run:
            for row in results.curve(record.id):
                run.log(scalars(row), step=row["iteration"])
            run.summary.update(_measures(record))
    wandb.teardown()  # its service writes the files to the end
    return sorted((folder / "wandb").glob("offline-run-*"))


def require(package: str) -> None:
    """Raise UsageError if the library of a format is not installed."""
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"this format needs {package}, which is not installed", hint=f"pip install {package}")


def _records(results: Results) -> Iterator[Record]:
    return (results.record(run) for run in results.frame["id"])


def scalars(row: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a row of a learning curve; a value that could not be computed is left out."""
    return {name: value for name, value in row.items() if isinstance(value, int | float)}


def _measures(record: Record) -> dict[str, float]:
    values = {name: measure.value for name, measure in record.measures.items()}
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}


def _options(record: Record) -> dict[str, Any]:
    """Return labels, options and training settings of a run, by dotted names."""
    spec = record.spec
    settings: dict[str, Any] = {"scale": spec.scale, "replicate": spec.replicate, "seed": spec.seed}
    for kind in KINDS:
        part = getattr(spec, kind)
        settings |= {kind: part.label} | {f"{kind}.{name}": value for name, value in part.options.items()}
    return settings | {f"training.{name}": value for name, value in spec.training.model_dump(mode="json").items()}


def file_name(label: str) -> str:
    """Return a label as the name of a file; its digest follows if characters other than spaces were replaced, because
    two labels may differ in these alone."""
    spaced = label.replace(" ", "-")
    name = re.sub(r"[^\w.=#-]+", "-", spaced)
    return name if name == spaced else f"{name}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"
