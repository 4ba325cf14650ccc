"""A suite's tuning: the trials of each cell, and the one that was the best on the validation split."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from throughtime.records.record import Measure, Record
from throughtime.records.store import Store
from throughtime.running.plan import KnownRecords, Planned, plan, to_run
from throughtime.running.search import Search, version
from throughtime.spec import RunSpec, Scale, Span, TrialResult, Tuning
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


def trial_rounds(suite: Suite, scale: Scale, store: Store) -> Iterator[list[list[Trial]]]:
    """Yield the trials of each cell that are known, and again each time that the user has run these.

    Those of a grid are all known. A library proposes one for each cell at a time, when its earlier ones have records;
    after the first round, in which records may have been replaced, it begins again with the new ones.

    Args:
        suite: the suite.
        scale: one of its scales.
        store: contains the records.

    Raises:
        UsageError: the library is not installed.
    """
    if suite.trials[scale]:
        yield suite.trials[scale]
        return
    known: list[list[Trial]] = []
    for number in itertools.count():
        if number < 2:
            searches = _searches(suite, scale)
        _advance(searches, suite, scale, store)
        proposed = [list(search.trials) for search in searches]
        if proposed == known:
            return
        yield (known := proposed)


def _searches(suite: Suite, scale: Scale) -> list[Search]:
    settings = suite.settings[scale]
    assert settings.tune is not None and settings.tune.trials is not None
    return [Search(space, settings.seed, settings.tune.trials) for space in suite.spaces[scale]]


def _advance(searches: Sequence[Search], suite: Suite, scale: Scale, store: Store) -> None:
    """Judge all trials that have records, up to the first one without in each cell."""
    going = searches
    while going := [search for search in going if not search.is_over]:
        recorded = records_of([search.propose() for search in going], suite, scale, store)
        going = [search for search, records in zip(going, recorded, strict=True) if records is not None]
        for search, records in zip(going, filter(None, recorded), strict=True):
            search.judge(_loss(records))


def _loss(records: Sequence[Record]) -> float | None:
    """Return the result of a trial such that less is better; None if a run failed."""
    measures = [measure for measure in map(_validation, records) if measure is not None]
    mean = _mean(records)
    return -mean if mean is not None and measures[0].better == "higher" else mean


def trial_runs(suite: Suite, scale: Scale, trials: Sequence[Sequence[Trial]]) -> list[RunSpec]:
    """Return the runs of trials, by cell, trial and replicate; a trial that a library repeats has one run."""
    runs = (run for cell_trials in trials for trial in cell_trials for run in suite.runs_of_trial(scale, trial))
    return list({(run.cell, run.replicate): run for run in runs}.values())


def records_of(trials: Sequence[Trial], suite: Suite, scale: Scale, store: Store) -> list[list[Record] | None]:
    """Return the records of the runs of each trial; None if one of its runs is still to be made.

    A stale record counts if `run` would not repeat it, as in any suite.
    """
    runs = [suite.runs_of_trial(scale, trial) for trial in trials]
    trial_plan = plan([run for specs in runs for run in specs], store)
    known, due = KnownRecords(store, f"{suite.name}-tune"), {p.id for p in to_run(trial_plan, "none")}
    records = iter([None if p.id in due else known.record(p.spec, p.id, p.code)[0] for p in trial_plan])
    by_trial = [[next(records) for _ in specs] for specs in runs]
    complete = [[record for record in recorded if record is not None] for recorded in by_trial]
    return [made if made == recorded else None for made, recorded in zip(complete, by_trial, strict=True)]


def after_tuning(suite: Suite, scale: Scale, store: Store, trials: Sequence[Sequence[Trial]]) -> TunedRuns:
    """Choose the best trial of each cell from the records of the trials, and plan the runs with its values."""
    settings = suite.settings[scale]
    assert settings.tune is not None
    records = iter(records_of([trial for cell_trials in trials for trial in cell_trials], suite, scale, store))
    specs: list[RunSpec] = []
    failed, cells_left = set(), 0
    for space, cell_trials in zip(suite.spaces[scale], trials, strict=True):
        recorded = [next(records) for _ in cell_trials]
        complete = [record for record in recorded if record is not None]
        if complete != recorded or len(cell_trials) < (settings.tune.trials or 1):
            cells_left += 1
            continue
        tuning = _tuning(cell_trials, complete)
        if tuning and settings.tune.sampler != "grid":
            spans = {name: values for name, values in space.options.items() if isinstance(values, Span)}
            tuning = tuning.model_copy(update={"sampler": version(), "spans": spans})
        runs = suite.runs_of(scale, cell_trials[tuning.chosen if tuning else 0].cell, tuning)
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
        results.append(TrialResult(values=trial.values, validation=_mean(trial_records)))
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


def _mean(records: Sequence[Record]) -> float | None:
    """Return the mean result of the runs of a trial on the validation split; None if one failed."""
    values = [measure.value for measure in map(_validation, records) if measure and measure.value is not None]
    return math.fsum(values) / len(values) if len(values) == len(records) else None


def _validation(record: Record) -> Measure | None:
    """Return the headline metric on the validation split; None for a run that failed."""
    return record.measures.get(f"{record.metric}_validation") if record.status == "ok" else None
