"""Sweeps: the runs of a suite at one scale, planned against a results folder; first the trials of its tuning."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from throughtime.errors import UsageError, suggestion
from throughtime.records.record import Record
from throughtime.records.store import Store
from throughtime.running.engine import Engine
from throughtime.running.limits import Limits
from throughtime.running.plan import Planned, plan, prepare_data, to_run
from throughtime.running.progress import Progress
from throughtime.running.runner import Runner
from throughtime.running.tuning import after_tuning, trial_rounds, trial_runs
from throughtime.spec import Rerun, Scale
from throughtime.suites.suite import Suite, load_suite


class Request(NamedTuple):
    """The runs that a user wants."""

    suite: str | Path
    """The name of a suite, or the path of its YAML."""
    scale: Scale
    store: Store
    """The destination of the records, which contains those of earlier sweeps."""
    only: Sequence[str] = ()
    """Runs, each by its id, its label, the label of its cell, or a pattern of these such as `fptt *`; empty: all."""
    rerun: Rerun = "none"
    """Records whose runs are repeated."""
    changes: Sequence[str] = ()
    """Changes of the suite, in the form `name=value` of `suites/changes.py`."""

    def command(
        self, plugins: Sequence[str] = (), papers: Sequence[str] = (), sources: Sequence[str] = ()
    ) -> list[str]:
        """Return the arguments of the command that runs these sweeps; records contain it, restricted to their run.

        Its paths are absolute, so that it can be repeated from any folder.
        """
        suite, results = str(self.suite), str(self.store.folder.resolve())
        suite = str(Path(suite).resolve()) if suite.endswith((".yaml", ".yml")) else suite
        words = ["throughtime", "run", suite, "--scale", self.scale, "--results", results]
        words += [word for change in self.changes for word in ("--set", change)]
        words += [word for path in plugins for word in ("--plugin", path)]
        words += [word for path in papers for word in ("--paper", path)]
        return words + [word for path in sources for word in ("--source", path)]


class Sweep:
    """Runs that a runner executes together.

    Args:
        request: what the user wants.
        suite: the suite that it names.
        planned: all runs of the suite, or all runs of its trials.
        selected: those that the request selects.
        due: those of them without a record, or with one that is to be replaced.

    Attributes:
        cells_left: number of cells whose runs are not planned yet, because trials of their tuning are to run.
        limits: the limits that the suite sets for each pass.
        excluded: patterns of the cells that the suite leaves out.
        jobs: number of training passes for which this process has cores.
    """

    def __init__(
        self, request: Request, suite: Suite, planned: list[Planned], selected: list[Planned], due: list[Planned]
    ) -> None:
        self.request, self.planned, self.selected, self.due = request, planned, selected, due
        self.cells_left = 0
        settings = suite.settings[request.scale]
        self.limits = Limits(settings.timeout, settings.memory_limit)
        self.excluded = settings.exclude
        # A container or a batch system may allow this process fewer cores than the machine has.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.jobs = max(1, cores // settings.threads)

    def unfinished(self, records: Sequence[Record]) -> list[str]:
        """Return the labels of the selected runs that failed or lack a measuring pass, after these have run.

        A trial of a tuning may diverge, or exceed a limit: it is then not the best.
        """
        fine = {"ok", "skipped"} | ({"diverged", "oom", "timeout"} if self.planned[0].spec.trial else set())
        state = {p.id: (p.recorded, bool(p.missing_passes)) for p in self.selected}
        state |= {record.id: (record.status, bool(record.failed_passes)) for record in records}
        labels = {p.id: p.spec.label for p in self.selected}
        return [labels[run] for run, (status, incomplete) in state.items() if status not in fine or incomplete]

    def run(self, engine_of: EngineOf, command: Sequence[str], progress: Progress) -> list[Record]:
        """Prepare the data of the due runs, run them, and end the display; return records in the order of completion.

        Args:
            engine_of: starts an engine for this sweep, which is closed at the end.
            command: arguments of the user's command, for the records.
            progress: shows the user what happens.
        """
        prepare_data(self.due, progress.preparing)
        if not self.due:
            return []
        try:
            with closing(engine_of(self, progress.show)) as engine:
                return Runner(self.request.store, command, engine, progress).run(self.planned, self.due, self.selected)
        finally:
            progress.end()


EngineOf = Callable[[Sweep, Callable[[str], None]], Engine]
"""Returns the engine for a sweep; takes a function that prints a line for the user, too."""


def sweeps(request: Request) -> Iterator[Sweep]:
    """Yield the sweeps of a suite. The due runs of one must have run before the next is taken.

    A suite without a tuning has one sweep. Otherwise the first one consists of the trials of the cells that are
    selected, and the last of the selected runs with the best values, unless only trials are selected. Between them
    there is one for each round of trials that a library proposes.

    Raises:
        UsageError: the suite is invalid, a cell cannot be built, or no run has a name of `only`.
    """
    suite = load_suite(request.suite, request.scale, request.changes)
    if suite.settings[request.scale].tune is None:
        planned = plan(suite.expand(request.scale), request.store)
        selected = select(planned, request.only, request.suite)
        yield Sweep(request, suite, planned, selected, to_run(selected, request.rerun))
        return
    cells: set[tuple[str, ...]] = set()
    rerun = request.rerun
    for known in trial_rounds(suite, request.scale, request.store):
        trials = plan(trial_runs(suite, request.scale, known), request.store)
        if request.only and not cells:
            # The id of a run is unknown before its values are chosen: its label stands for it.
            runs = [Planned(run, run.label, {}, run.passes, None, None) for run in suite.expand(request.scale)]
            runs += after_tuning(suite, request.scale, request.store, known).planned
            select([*trials, *runs], request.only, request.suite)  # refuses a wrong name before the trials run
            cells = {p.spec.cell for p in matching(runs, request.only)}
        named = matching(trials, request.only)
        needed = [p for p in trials if p in named or _cell_of(p) in cells]
        due = to_run(named, rerun) + to_run([p for p in needed if p not in named], "none")
        rerun = "none"
        sweep = Sweep(request, suite, trials, needed, due)
        sweep.cells_left = len(suite.cells[request.scale])
        yield sweep
    planned, cells_left = after_tuning(suite, request.scale, request.store, known)
    if selected := matching(planned, request.only):
        sweep = Sweep(request, suite, planned, selected, to_run(selected, request.rerun))
        sweep.cells_left = cells_left
        yield sweep


def select(planned: Sequence[Planned], only: Sequence[str], suite: str | Path) -> list[Planned]:
    """Return the runs that names or patterns select; all runs without any.

    Raises:
        UsageError: a name or pattern selects no run.
    """
    for wanted in only:
        if not matching(planned, [wanted]):
            hint = suggestion(wanted, (p.spec.label for p in planned))
            raise UsageError(f'no run "{wanted}" in {suite}', hint=hint)
    return matching(planned, only)


def matching(planned: Sequence[Planned], only: Sequence[str]) -> list[Planned]:
    """Return the runs that at least one name or pattern selects; all runs without any."""
    names = {p.id: _names(p) for p in planned}
    selected: set[str] = set()
    for wanted in only:
        # Exact names first: a label may contain the special characters of patterns.
        exact = {run for run, known in names.items() if wanted in known}
        selected |= exact or {run for run, known in names.items() if fnmatch.filter(known, wanted)}
    return [p for p in planned if not only or p.id in selected]


def _names(planned: Planned) -> set[str]:
    """Return the names by which `only` selects a run: its id, its label, the label of its cell."""
    label = planned.spec.label
    return {planned.id, label, label.rpartition(" #")[0]}


def _cell_of(trial: Planned) -> tuple[str, ...]:
    """Return the labels of the cell for which a trial is run."""
    rule, *rest = trial.spec.cell
    return rule.partition(" ")[0], *rest  # the values under trial follow the rule's own label, one word
