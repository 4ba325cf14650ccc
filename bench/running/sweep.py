"""A sweep: the runs of a suite at one scale, planned against a results folder."""

from __future__ import annotations

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
        only: runs, each by its id, its label, or the label of its cell; empty: all runs.
        rerun: records whose runs are repeated.

    Attributes:
        planned: all runs of the suite.
        asked: the runs that `only` selects.
        chosen: those of them without a record, or with one that `rerun` selects.
        limits: the limits that the suite sets for each pass.
        jobs: number of training passes for which this machine has cores.

    Raises:
        UsageError: the suite is invalid, a cell cannot be built, or no run has a name of `only`.
    """

    def __init__(
        self, suite: str | Path, scale: Scale, store: Store, only: Sequence[str] = (), rerun: Rerun = "none"
    ) -> None:
        loaded = load_suite(suite)
        self.suite, self.scale, self.store = suite, scale, store
        self.planned = plan(loaded.expand(scale), store)
        names = {p.id: _names(p) for p in self.planned}
        known = set().union(*names.values())
        for name in only:
            if name not in known:
                hint = suggestion(name, (p.spec.label for p in self.planned))
                raise UsageError(f'no run "{name}" in {suite}', hint=hint)
        self.asked = [p for p in self.planned if not only or not names[p.id].isdisjoint(only)]
        self.chosen: list[Planned] = to_run(self.asked, rerun)
        settings = loaded.settings[scale]
        self.limits = Limits(settings.timeout, settings.memory_limit)
        self.jobs = max(1, (os.cpu_count() or 1) // self.planned[0].spec.threads)

    def command(self, plugins: Sequence[str] = (), sources: Sequence[str] = ()) -> list[str]:
        """Return the arguments of the command that runs this sweep; records contain it, restricted to their run."""
        words = ["throughtime", "run", str(self.suite), "--scale", self.scale, "--results", str(self.store.folder)]
        words += [word for path in plugins for word in ("--plugin", path)]
        return words + [word for path in sources for word in ("--source", path)]

    def run(self, engine: Engine, command: Sequence[str], progress: Progress) -> list[Record]:
        """Run the chosen runs, and close the engine; return their records in the order of completion."""
        with closing(engine):
            return Runner(self.store, command, engine, progress).run(self.planned, self.chosen)


def _names(planned: Planned) -> set[str]:
    """Return the names by which `only` selects a run: its id, its label, the label of its cell."""
    label = planned.spec.label
    return {planned.id, label, label.rpartition(" #")[0]}
