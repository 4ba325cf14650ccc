"""A sweep: the runs of a suite at one scale, planned against a results folder."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from throughtime.errors import UsageError, suggestion
from throughtime.records.record import Record
from throughtime.records.store import Store
from throughtime.running.engines.base import Engine
from throughtime.running.limits import Limits
from throughtime.running.plan import Planned, plan, to_run
from throughtime.running.progress import Progress
from throughtime.running.runner import Runner
from throughtime.spec import Rerun, Scale
from throughtime.suites.suite import load_suite


class Sweep:
    """The runs of a suite at one scale.

    Args:
        suite: the name of a suite, or the path of its YAML.
        scale: one of its scales.
        store: the destination of the records, which contains those of earlier sweeps.
        only: runs, each by its id, its label, the label of its cell, or a pattern of these such as `fptt *`; empty:
            all runs.
        rerun: records whose runs are repeated.
        changes: changes of the suite, in the form `name=value` of `suites/changes.py`.

    Attributes:
        planned: all runs of the suite.
        selected: the runs that `only` selects.
        due: those of them without a record, or with one that `rerun` selects.
        limits: the limits that the suite sets for each pass.
        jobs: number of training passes for which this machine has cores.

    Raises:
        UsageError: the suite is invalid, a cell cannot be built, or no run has a name of `only`.
    """

    def __init__(
        self,
        suite: str | Path,
        scale: Scale,
        store: Store,
        only: Sequence[str] = (),
        rerun: Rerun = "none",
        changes: Sequence[str] = (),
    ) -> None:
        loaded = load_suite(suite, scale, changes)
        self.suite, self.scale, self.store, self.changes = suite, scale, store, changes
        self.planned = plan(loaded.expand(scale), store)
        self.selected = select(self.planned, only, suite)
        self.due: list[Planned] = to_run(self.selected, rerun)
        settings = loaded.settings[scale]
        self.limits = Limits(settings.timeout, settings.memory_limit)
        self.jobs = max(1, (os.cpu_count() or 1) // self.planned[0].spec.threads)

    def command(self, plugins: Sequence[str] = (), sources: Sequence[str] = ()) -> list[str]:
        """Return the arguments of the command that runs this sweep; records contain it, restricted to their run."""
        words = ["throughtime", "run", str(self.suite), "--scale", self.scale, "--results", str(self.store.folder)]
        words += [word for change in self.changes for word in ("--set", change)]
        words += [word for path in plugins for word in ("--plugin", path)]
        return words + [word for path in sources for word in ("--source", path)]

    def run(self, engine: Engine, command: Sequence[str], progress: Progress) -> list[Record]:
        """Run the due runs, and close the engine; return their records in the order of completion."""
        with closing(engine):
            return Runner(self.store, command, engine, progress).run(self.planned, self.due)


def select(planned: Sequence[Planned], only: Sequence[str], suite: str | Path) -> list[Planned]:
    """Return the runs that names or patterns select; all runs without any.

    Raises:
        UsageError: a name or pattern selects no run.
    """
    names = {p.id: _names(p) for p in planned}
    found: set[str] = set()
    for wanted in only:
        # Exact names first: a label may contain the special characters of patterns.
        exact = {run for run, known in names.items() if wanted in known}
        fitting = exact or {run for run, known in names.items() if fnmatch.filter(known, wanted)}
        if not fitting:
            hint = suggestion(wanted, (p.spec.label for p in planned))
            raise UsageError(f'no run "{wanted}" in {suite}', hint=hint)
        found |= fitting
    return [p for p in planned if not only or p.id in found]


def _names(planned: Planned) -> set[str]:
    """Return the names by which `only` selects a run: its id, its label, the label of its cell."""
    label = planned.spec.label
    return {planned.id, label, label.rpartition(" #")[0]}
