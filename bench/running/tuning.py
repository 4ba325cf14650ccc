"""The outcome of a suite's tuning: for each cell, the trial that was the best on the validation split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from throughtime.records.record import Measure, Record
from throughtime.records.store import Store
from throughtime.running.plan import KnownRecords, Planned, plan, to_run
from throughtime.spec import RunSpec, Scale, TrialResult, Tuning
from throughtime.suites.suite import Suite
from throughtime.suites.trials import Trial

NO_TRIAL = "every trial of its tuning has a failed run"
"""Reason why the runs of a cell are skipped."""


class TunedRuns(NamedTuple):
    """The runs of a suite after its tuning."""

    planned: list[Planned]
    """Runs of the cells whose trials all have records, with the best values; skipped where no trial succeeded."""
    cells_left: int
    """Number of cells with trials that are still to run."""


def trial_runs(suite: Suite, scale: Scale) -> list[RunSpec]:
    """Return the runs of all trials, by cell, trial and replicate."""
    return [run for trials in suite.trials[scale] for trial in trials for run in suite.runs_of_trial(scale, trial)]


def after_tuning(suite: Suite, scale: Scale, store: Store) -> TunedRuns:
    """Choose the best trial of each cell from the records of the trials, and plan the runs with its values.

    A stale record counts if `run` would not repeat it, as in any suite.
    """
    trial_plan = plan(trial_runs(suite, scale), store)
    known, due = KnownRecords(store, f"{suite.name}-tune"), {p.id for p in to_run(trial_plan, "none")}
    records = iter([None if p.id in due else known.of(p.spec, p.id, p.code)[0] for p in trial_plan])
    specs: list[RunSpec] = []
    failed, cells_left = set(), 0
    for trials in suite.trials[scale]:
        records_of_trials = [[next(records) for _ in suite.runs_of_trial(scale, trial)] for trial in trials]
        complete = [[record for record in trial_records if record is not None] for trial_records in records_of_trials]
        if complete != records_of_trials:
            cells_left += 1
            continue
        tuning = _tuning(trials, complete)
        runs = suite.runs_of(scale, trials[tuning.chosen if tuning else 0].cell, tuning)
        failed |= set() if tuning else {runs[0].cell}
        specs += runs
    planned = [
        p._replace(unsupported=p.unsupported or NO_TRIAL) if p.spec.cell in failed else p for p in plan(specs, store)
    ]
    return TunedRuns(planned, cells_left)


def _tuning(trials: Sequence[Trial], records: Sequence[Sequence[Record]]) -> Tuning | None:
    """Return the trials of a cell with the index of the best; None if each has a failed run."""
    results = []
    for trial, trial_records in zip(trials, records, strict=True):
        values = [measure.value for measure in map(_validation, trial_records) if measure and measure.value is not None]
        mean = math.fsum(values) / len(values) if len(values) == len(trial_records) else None
        results.append(TrialResult(values=trial.values, validation=mean))
    means = {i: result.validation for i, result in enumerate(results) if result.validation is not None}
    if not means:
        return None
    first = records[next(iter(means))][0]
    measure = _validation(first)
    best = max if measure and measure.better == "higher" else min
    return Tuning(
        metric=first.metric or "",
        seed=first.spec.seed,
        replicates=len(records[0]),
        trials=results,
        chosen=best(means, key=means.__getitem__),
    )


def _validation(record: Record) -> Measure | None:
    """Return the headline metric on the validation split; None for a run that failed."""
    return record.measures.get(f"{record.metric}_validation") if record.status == "ok" else None
