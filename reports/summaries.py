"""Summaries of runs by cell: a row for each cell and measure."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from throughtime.errors import UsageError, suggestion
from throughtime.records.results import KEYS, Results, frame_of
from throughtime.reports.best import direction
from throughtime.reports.cells import FAILED, older, one_line, ordered, reading_order, runs_of
from throughtime.reports.once import once
from throughtime.reports.plain_values import Columns, Row, is_missing
from throughtime.reports.quantities import LEVEL, PROTOCOLS, QUANTITIES, quantity, replicate_interval
from throughtime.spec import MEASURED_ONCE

NO_VALUE = "no value: "
"""Prefix of the part of a note that gives the reason why a measure is missing."""
BEST = "_best_validation"
"""End of the name of a task's metric by the protocol of the epoch best on validation."""
METRICS = ("metric", *(f"metric{end}" for end in PROTOCOLS))
"""Names that stand for the headline metric of the task of a dataset, by protocol."""
COLUMNS = [
    *KEYS,
    *["measure", "unit", "better", "chance", "mean", "sd", "low", "high", "n", "values", "replicates", "runs"],
    *[f"n_{status}" for status in FAILED],
    *["trials", "edge", "note", "protocol", "level"],
]


class _Run(NamedTuple):
    """The values of a run that the summaries of all measures need."""

    replicate: int
    status: str
    reason: str
    remark: str | None
    contended: bool
    superseded: int
    trials: int
    edge: str


class _Cell(NamedTuple):
    """The runs of a cell."""

    key: Row
    """Its values of `KEYS`."""
    places: list[int]
    """Their places in the columns."""
    runs: list[_Run]
    counts: dict[str, int]
    """Number of runs by status, as `n_<status>`."""
    notes: list[str]
    """Remarks and failures, which are in the note of each measure."""


class _Task(NamedTuple):
    """The cells of a suite, scale and dataset."""

    places: list[int]
    cells: list[_Cell]


def summarise(runs: pd.DataFrame, measure: str = "metric") -> pd.DataFrame:
    """Summarise one measure: a row for each cell, in long form and in reading order.

    Only `ok` runs count; measures of measuring passes (wall time, peak memory) count also for failed runs. A failed run
    is counted in `n_<status>` and explained in `note`, and is never part of a mean.

    Args:
        runs: rows of `Results.frame`.
        measure: a measure's name; `metric` is the headline metric of the dataset's task, `metric_best_validation`,
            `metric_validation` and `metric_best_test` the same by the other protocols.

    Returns:
        The columns `COLUMNS`: numbers in the record's unit, `better` the direction of improvement (`higher`, `lower` or
        empty), `chance` that of the headline metric (NaN of others), `sd` the standard deviation (n - 1; NaN where
        n < 2), `low` and `high` the interval (NaN where n < 5), `values` those of the single replicates, `replicates`
        their numbers, `runs` the number of all replicates, `trials` and `edge` as in `Results.frame`, `note` the
        reasons of missing values.

    Raises:
        UsageError: no run has that measure.
    """
    columns = Columns(ordered(runs))
    return summary_frame(_summary(columns, _tasks(columns), measure))


@once
def summary_rows(results: Results, measure: str) -> list[Row]:
    """Return the rows of the summary of one measure of all runs of results; see `summarise`."""
    _, tasks = _columns_and_tasks(results)  # in reading order, as the runs are
    return [row for suite, scale in tasks for row in suite_summary(results, suite, scale, measure)]


def recorded_rows(results: Results, measure: str) -> list[Row]:
    """Return the rows of `summary_rows` of the suites and scales in which a run has recorded the measure."""
    columns, tasks = _columns_and_tasks(results)
    return [
        row
        for key, suite_tasks in tasks.items()
        if measure in METRICS or any(columns.known(task.places, f"unit.{measure}") for task in suite_tasks)
        for row in suite_summary(results, *key, measure)
    ]


@once
def summary_of(results: Results, measure: str) -> pd.DataFrame:
    """Summarise one measure of all runs of results; see `summarise`."""
    return summary_frame(summary_rows(results, measure))


@once
def suite_summary(results: Results, suite: str, scale: str, measure: str = "metric") -> list[Row]:
    """Return the rows of the summary of one measure of a suite and scale; see `summarise`."""
    columns, tasks = _columns_and_tasks(results)
    return _summary(columns, tasks.get((suite, scale), []), measure)


def summary_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return a frame of rows of summaries, with the columns `COLUMNS`."""
    return frame_of({name: [row[name] for row in rows] for name in COLUMNS})


@once
def _columns_and_tasks(results: Results) -> tuple[Columns, dict[tuple[str, str], list[_Task]]]:
    """Return the columns of all runs, and the tasks of each suite and scale."""
    columns = Columns(runs_of(results))
    tasks: dict[tuple[str, str], list[_Task]] = {}
    for task in _tasks(columns):
        tasks.setdefault((task.cells[0].key["suite"], task.cells[0].key["scale"]), []).append(task)
    return columns, tasks


def _tasks(columns: Columns) -> list[_Task]:
    """Group runs by suite, scale and dataset, and these by cell."""
    runs = [_Run(*run) for run in zip(*(columns[name] for name in _Run._fields), strict=True)]
    keys = list(zip(*(columns[key] for key in KEYS), strict=True))
    tasks = []
    for places in columns.places(["suite", "scale", "dataset"]):
        cells: dict[tuple[str, ...], list[int]] = {}
        for i in places:
            cells.setdefault(keys[i], []).append(i)
        tasks.append(_Task(places, [_cell(key, own, [runs[i] for i in own]) for key, own in cells.items()]))
    return tasks


def _cell(key: tuple[str, ...], places: list[int], runs: list[_Run]) -> _Cell:
    statuses = Counter(run.status for run in runs)
    notes = [one_line(remark) for remark in dict.fromkeys(run.remark for run in runs) if not is_missing(remark)]
    for status in FAILED if len(runs) > statuses["ok"] else ():
        reasons = dict.fromkeys(run.reason for run in runs if run.status == status)
        notes += [f"{status}: {one_line(r) or 'no reason recorded'}" for r in reasons]
    return _Cell(
        dict(zip(KEYS, key, strict=True)), places, runs, {f"n_{status}": statuses[status] for status in FAILED}, notes
    )


def _summary(columns: Columns, tasks: Iterable[_Task], measure: str) -> list[Row]:
    """Return the rows of `summarise` of the runs of some tasks, in the order of the runs."""
    frame = columns.frame
    if frame.empty:
        return []
    if measure not in QUANTITIES and f"unit.{measure}" not in frame:
        known = [*QUANTITIES, *(c.removeprefix("unit.") for c in map(str, frame) if c.startswith("unit."))]
        raise UsageError(f'no measure "{measure}" in the records', hint=suggestion(measure, dict.fromkeys(known)))
    return _with_deviations([row for task in tasks for row in _task_summary(columns, task, measure)])


def _with_deviations(rows: list[Row]) -> list[Row]:
    """Return rows with their standard deviations."""
    by_n: dict[int, list[Row]] = {}
    for row in rows:
        by_n.setdefault(row["n"], []).append(row)
    for n, alike in by_n.items():
        if n > 1:  # a call for each row takes ten times as long
            deviations = np.array([row["values"] for row in alike]).std(axis=1, ddof=1).tolist()
            for row, deviation in zip(alike, deviations, strict=True):
                row["sd"] = deviation
    return rows


def _task_summary(columns: Columns, task: _Task, measure: str) -> list[Row]:
    """Return the rows of `summarise` of the runs of one dataset."""
    places = task.places
    name = _metric_of(columns, places, measure)
    units = columns.known(places, f"unit.{name}")
    kind = quantity(name, units[0] if units else "")
    if name != measure and measure != "metric":
        kind = kind._replace(protocol=quantity(measure).protocol)
    elif name != measure or columns.known(places, f"unit.{name}{BEST}"):
        kind = kind._replace(protocol=final_protocol(columns.values_at(places, "mean_of_last")))
    chances = columns.known(places, "chance") if measure in METRICS else []
    better = direction(name, columns.known(places, f"better.{name}"))
    shared = {"measure": name, "unit": kind.recorded, "better": better, "chance": float(max(chances, default=math.nan))}
    return [_row(cell, columns, shared, kind.protocol) for cell in task.cells]


def final_protocol(mean_of_last: Iterable[int]) -> str:
    """Return the protocol of a metric at the end of training: the final epoch, or the mean over the last epochs.

    Args:
        mean_of_last: that number of each run.
    """
    counts = sorted(set(mean_of_last)) or [1]
    if counts == [1]:
        return quantity("metric").protocol
    return f"test split, mean of the evaluations after the last {' or '.join(map(str, counts))} epochs"


@once
def further_metrics(results: Results) -> list[Row]:
    """Summarise each metric of a task besides the headline metric, at the final epoch: rows as of `summarise`."""
    columns, tasks = _columns_and_tasks(results)
    rows: list[Row] = []
    for task in itertools.chain(*tasks.values()):
        headline = _metric_of(columns, task.places, "metric")
        names = [name for name in task_metrics(_recorded(columns, task.places)) if name != headline]
        rows += [row for name in names for row in _task_summary(columns, task, name)]
    order = reading_order({key: [row[key] for row in rows] for key in KEYS})
    return _with_deviations([rows[i] for i in order])


def _metric_of(columns: Columns, places: list[int], measure: str) -> str:
    """Return the measure that `metric...` stands for: the metric that the newest record names, or else (older records
    name none) the measure that they have in both protocols.
    """
    if measure not in METRICS:
        return measure
    runs = zip(*(columns.values_at(places, name) for name in ("started", "id", "metric")), strict=True)
    named = [metric for _, _, metric in sorted(runs, key=lambda run: run[:2]) if not is_missing(metric)]
    if named:
        return measure.replace("metric", named[-1])
    recorded = task_metrics(_recorded(columns, places))
    return measure.replace("metric", recorded[0]) if recorded else measure


def _recorded(columns: Columns, places: list[int]) -> list[str]:
    """Return the names of the measures that are recorded in some of the runs, with a value or a reason."""
    names = [column.removeprefix("unit.") for column in map(str, columns.frame) if column.startswith("unit.")]
    return [name for name in names if columns.known(places, f"unit.{name}")]


def task_metrics(measures: Iterable[str]) -> list[str]:
    """Return the task's metrics among measures, the headline metric first: those that have both protocols."""
    return [name.removesuffix(BEST) for name in dict.fromkeys(measures) if name.endswith(BEST)]


def _row(cell: _Cell, columns: Columns, shared: Row, protocol: str) -> Row:
    """Return a row of `summarise`, with its columns in order; `_with_deviations` computes the deviation.

    Args:
        cell: the cell.
        columns: the columns of all runs.
        shared: measure, unit, better and chance, which the cells of a task share.
        protocol: the protocol of the measure.
    """
    measure = shared["measure"]
    values = [math.nan if value is None else float(value) for value in columns.values_at(cell.places, measure)]
    once_a_cell = measure.startswith(MEASURED_ONCE)
    runs = zip(cell.runs, values, strict=True)
    counted = [(run, x) for run, x in runs if x == x and (once_a_cell or run.status == "ok")]  # x is not NaN
    numbers = tuple(value for _, value in counted)
    interval = replicate_interval(numbers, measure, shared["unit"]) if numbers else None
    nothing = float("nan")
    return {
        **cell.key,
        **shared,
        "mean": interval.mean if interval else nothing,
        "sd": nothing,
        "low": nothing if interval is None or interval.low is None else interval.low,
        "high": nothing if interval is None or interval.high is None else interval.high,
        "n": len(numbers),
        "values": numbers,
        "replicates": tuple(run.replicate for run, _ in counted),
        "runs": len(cell.runs),
        **cell.counts,
        "trials": cell.runs[0].trials,
        "edge": cell.runs[0].edge,
        "note": "; ".join(_notes(cell, columns, values, [run for run, _ in counted], measure)),
        "protocol": protocol,
        "level": LEVEL,
    }


def _notes(cell: _Cell, columns: Columns, values: list[float], counted: list[_Run], measure: str) -> list[str]:
    """Return the notes of a row: remarks, failures, reasons of missing values, contention, superseded runs.

    Args:
        cell: its cell.
        columns: the columns of all runs.
        values: the values of the cell's runs.
        counted: the runs whose values count.
        measure: its name.
    """
    notes, first, once_a_cell = list(cell.notes), cell.runs[0], measure.startswith(MEASURED_ONCE)
    missing = []
    if len(counted) < len(cell.runs):
        reasons = columns.values_at(cell.places, f"missing.{measure}")
        runs = zip(cell.runs, values, reasons, strict=True)
        missing = [reason for run, value, reason in runs if run.status == "ok" and math.isnan(value)]
    # By protocol, measuring passes run once per cell: the other replicates lack no value.
    if missing and not (counted and once_a_cell):
        known = [reason for reason in missing if not is_missing(reason)]
        if not (once_a_cell and known):  # by protocol, only the first replicate has a reason
            known = ["not in the record" if is_missing(reason) else reason for reason in missing]
        notes += [f"{NO_VALUE}{one_line(r)}" for r in dict.fromkeys(known)]
    if measure.startswith("wall_time") and any(run.contended for run in counted):
        notes.append("the machine was busy during this timing")
    if first.edge and not once_a_cell:
        notes.append(f"at the edge of its grid: {first.edge}, of {first.trials} trials")
    if left_out := older(first.superseded):
        notes.append(left_out)
    return notes
