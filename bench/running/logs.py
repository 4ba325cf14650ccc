"""Learning curves for another tool while runs train: `tt.run(..., log="tensorboard")`, `"wandb"`, or a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from throughtime.errors import UsageError, suggestion
from throughtime.records.exports import file_name, require, scalars
from throughtime.records.files import CURVE
from throughtime.records.record import Record
from throughtime.records.store import Store, read_curve
from throughtime.running.engine import PassJob
from throughtime.running.progress import PlainProgress
from throughtime.spec import RunSpec

Log = Callable[[int, dict[str, Any]], None]
"""Takes the iteration, and the numbers of an epoch with `run`, the label of the run, and `suite`."""


def log_of(log: Log | str | Any, results: Path) -> Log:
    """Return the log that a user names.

    Args:
        log: `tensorboard`: a log for each run in `<results>/tensorboard`; `wandb`: a run of Weights & Biases for each,
            in the project of the suite's name; a function, or an object with a method `log`, that takes the iteration
            and a dict.
        results: the results folder.

    Raises:
        UsageError: the library is not installed, or the log is something else.
    """
    if log == "tensorboard":
        return TensorBoardLog(results / "tensorboard")
    if log == "wandb":
        return WandbLog()
    if callable(log):
        return log
    if callable(method := getattr(log, "log", None)):
        return method
    hint = suggestion(log, ("tensorboard", "wandb")) if isinstance(log, str) else None
    raise UsageError(f"{log!r} is no log", "log", hint or '"tensorboard", "wandb", or a function of (step, dict)')


class TensorBoardLog:
    """Writes a TensorBoard log for each run, `<folder>/<suite>/<label>`."""

    def __init__(self, folder: Path) -> None:
        require("tensorboard")
        self.folder = folder
        self._writers: dict[tuple[str, str], Any] = {}

    def __call__(self, step: int, values: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        run = values["suite"], values["run"]
        if run not in self._writers:
            self._writers[run] = SummaryWriter(str(self.folder / run[0] / file_name(run[1])))
        for name, value in scalars(values).items():
            self._writers[run].add_scalar(name.replace(".", "/"), value, step)
        self._writers[run].flush()

    def close(self, suite: str, label: str) -> None:
        """Close the log of a run."""
        if (suite, label) in self._writers:
            self._writers.pop((suite, label)).close()


class WandbLog:
    """Sends a run of Weights & Biases for each run; `WANDB_MODE=offline` writes it to a folder instead."""

    def __init__(self) -> None:
        require("wandb")
        self._runs: dict[tuple[str, str], Any] = {}

    def __call__(self, step: int, values: dict[str, Any]) -> None:
        import wandb

        suite, label = run = values["suite"], values["run"]
        if run not in self._runs:
            group = label.rpartition(" #")[0]
            self._runs[run] = wandb.init(project=suite, group=group, name=label, reinit="create_new")
        self._runs[run].log(scalars(values), step=step)

    def close(self, suite: str, label: str) -> None:
        """Finish a run."""
        if (suite, label) in self._runs:
            self._runs.pop((suite, label)).finish()


class LoggedProgress(PlainProgress):
    """Prints lines, and passes each row of the learning curves on once.

    Args:
        stream: of the lines.
        store: the results.
        log: receives the rows.
    """

    def __init__(self, stream: TextIO, store: Store, log: Log) -> None:
        super().__init__(stream)
        self._store, self._log = store, log

    def begin(self, specs: Sequence[RunSpec]) -> None:
        super().begin(specs)
        self._sizes: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._trained: set[str] = set()

    def running(self, jobs: Sequence[PassJob]) -> None:
        super().running(jobs)
        for planned, name, folder in jobs:
            if name == "train":
                self._trained.add(planned.id)
                self._pass_on(planned.spec, planned.id, folder)

    def finished(self, record: Record) -> None:
        if record.id in self._trained:
            self._pass_on(record.spec, record.id, self._store.folder_of(record))
        if close := getattr(self._log, "close", None):
            close(record.spec.suite, record.label)
        super().finished(record)

    def _pass_on(self, spec: RunSpec, run: str, folder: Path) -> None:
        curve = folder / CURVE
        size = curve.stat().st_size if curve.exists() else 0
        if size == self._sizes.get(run, 0):
            return
        rows, self._sizes[run] = read_curve(folder), size
        for row in rows[self._rows.get(run, 0) :]:
            self._log(row["iteration"], {"suite": spec.suite, "run": spec.label, **scalars(row)})
        self._rows[run] = len(rows)
