"""Progress: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TextIO

from throughtime.printing import print_text, printable
from throughtime.records.files import read_position
from throughtime.records.record import Record
from throughtime.running.engine import PassJob
from throughtime.spec import Pass, RunSpec
from throughtime.suites.units import bytes_as_text, duration

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_AT_ONCE = 4
"""Largest number of running passes on display; a cluster has hundreds."""


class Progress(ABC):
    """Shows the user what the runner does; the runner calls these methods."""

    def begin(self, specs: Sequence[RunSpec]) -> None:
        """Begin a sweep of these runs."""
        self.total, self.done, self.made, self.start = len(specs), 0, 0, time.monotonic()

    def preparing(self, dataset: str) -> AbstractContextManager[object]:
        """Return the context in which a dataset is prepared before the first run."""
        return nullcontext()

    @abstractmethod
    def running(self, jobs: Sequence[PassJob]) -> None:
        """Show the passes that run now. The runner calls this a few times a second at most."""

    def finished(self, record: Record) -> None:
        """Show that a run has its record."""
        self.done += 1
        self.made += record.status != "skipped"
        self.show(f"[{self.done}/{self.total}] {describe(record)}")

    @abstractmethod
    def show(self, line: str) -> None:
        """Print a permanent line."""

    def end(self) -> None:
        """End the display."""


class PlainProgress(Progress):
    """Prints a line for each run, and one when a pass starts: for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, specs: Sequence[RunSpec]) -> None:
        super().begin(specs)
        self._shown: set[tuple[str, Pass]] = set()

    def running(self, jobs: Sequence[PassJob]) -> None:
        for planned, name, _ in jobs:
            label = planned.spec.label
            if (label, name) not in self._shown:
                self._shown.add((label, name))
                self.show(f"{name:>6}  {label}")

    def show(self, line: str) -> None:
        print_text(line, file=self._stream, flush=True)


class TerminalProgress(Progress):
    """Shows a bar of the runs with the elapsed time and the time left, and the running passes with their epochs."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._console = console
        columns = BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
        self._bar = Bar(*columns, console=console, transient=True)

    def preparing(self, dataset: str) -> AbstractContextManager[object]:
        return preparing(dataset)

    def begin(self, specs: Sequence[RunSpec]) -> None:
        super().begin(specs)
        self._task = self._bar.add_task("", total=self.total)
        self._bar.start()

    def running(self, jobs: Sequence[PassJob]) -> None:
        shown = "   ".join(_shown(job) for job in jobs[:SHOWN_AT_ONCE])
        shown += f"   and {len(jobs) - SHOWN_AT_ONCE} more" if len(jobs) > SHOWN_AT_ONCE else ""
        description = f"{self._time_left()}   {shown}".replace("[", "\\[")  # a label is not markup
        self._bar.update(self._task, completed=self.done, description=printable(description))

    def show(self, line: str) -> None:
        self._console.print(printable(line), markup=False, highlight=False)

    def end(self) -> None:
        self._bar.stop()

    def _time_left(self) -> str:
        if not self.made:
            return "time left: not known yet"
        return f"{duration((time.monotonic() - self.start) / self.made * (self.total - self.done))} left"


@contextmanager
def preparing(dataset: str) -> Iterator[None]:
    """Show on a terminal how many arrays of a dataset have been prepared in this context, and the time left."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from throughtime.datasets.files.cache import on_progress

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(f"preparing {dataset}", total=None)

    def show(done: int, count: int) -> None:
        bar.update(task, completed=done, total=count)
        bar.start()  # only now, because most datasets are already prepared

    try:
        with on_progress(show):
            yield
    finally:
        bar.stop()


def describe(record: Record) -> str:
    """Return `ok  fptt ltc digits #0  accuracy 0.934  peak 2.3 MiB  14.2 s`, with the task's headline metric; or the
    status and the reason."""
    if record.status != "ok":
        where = f" ({record.failure.where})" if record.failure and record.failure.where else ""
        return f"{record.status}  {record.label}: {record.reason}{where}"
    shown = []
    if (metric := record.measures.get(record.metric or "")) and metric.value is not None:
        shown.append(f"{record.metric} {metric.value:.3g}")
    if (peak := record.measures.get("peak_process_bytes")) and peak.value is not None:
        shown.append(f"peak {bytes_as_text(int(peak.value))}")
    if zeroed := record.measures.get("zeroed_updates"):
        shown.append(f"updates set to 0 as the gradient overflowed: {zeroed.value:g}")
    shown += [f"{name} pass {why}" for name, why in record.failed_passes.items()]
    return f"ok  {record.label}  {'  '.join(shown)}  {record.seconds:.1f} s"


def _shown(job: PassJob) -> str:
    planned, name, folder = job
    if name != "train":
        return f"{planned.spec.label}: {name}"
    position = read_position(folder)
    return f"{planned.spec.label}: epoch {position['epoch'] if position else 0}/{planned.spec.training.epochs}"
