"""Summaries of runs by cell: selection and order of the runs, and a row for each cell and measure."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from throughtime.display import Display
from throughtime.errors import UsageError, suggestion
from throughtime.records.record import Status
from throughtime.records.results import KEYS, Results, frame_of
from throughtime.registry import ALGORITHMS, NEURONS, Registry
from throughtime.reports.best import direction
from throughtime.reports.once import once
from throughtime.reports.plain_values import Columns, is_missing
from throughtime.reports.quantities import LEVEL, PROTOCOLS, QUANTITIES, Quantity, quantity, replicate_interval
from throughtime.spec import MEASURED_ONCE, SCALES

FAILED: tuple[str, ...] = tuple(status for status in get_args(Status) if status != "ok")
TASK = ["dataset", "network", "neuron"]
"""Columns that identify a task: rules are compared on the same dataset, network and neuron."""
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
    """The values of a run that the summary of one measure needs."""

    replicate: int
    status: str
    reason: str
    remark: str | None
    contended: bool
    superseded: int
    trials: int
    edge: str
    value: float
    missing: str | None
    """Reason why there is no value."""


_OF_RUN = list(_Run._fields[:-2])
"""Columns of a run that all measures share."""


@once
def runs_of(results: Results, suite: str | None = None, scale: str | None = None) -> pd.DataFrame:
    """Return the runs of a suite and a scale, or all runs, in reading order; see `ordered`."""
    return ordered(results.select(suite, scale).frame)


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort rows in reading order: scales from tiny to paper, rules and neurons by rank, names by their numbers."""
    ranks: dict[str, Callable[[Any], Any]] = {"scale": SCALES.index, "rule": rule_rank, "neuron": neuron_rank}
    by = [*KEYS, "replicate"] if "replicate" in frame else KEYS
    columns = []
    for key in by:
        rank = {value: ranks.get(key, natural)(value) for value in set(frame[key])}
        columns.append([rank[value] for value in frame[key]])
    order = sorted(range(len(frame)), key=lambda i: [column[i] for column in columns])
    return frame.iloc[order].reset_index(drop=True)


def natural(label: Any) -> list[tuple[int, int, str]]:
    """Return a sort key that puts K=5 before K=10; those of different labels differ, as α=0.1 and α=0.01."""
    parts = re.findall(r"\d+|\D+", str(label))
    return [*((0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts), (-1, 0, str(label))]


def rule_rank(label: str) -> tuple[float, list[tuple[int, int, str]]]:
    """Return the sort key of a rule: `tbptt K=10` has the order of `tbptt`."""
    return _rank(label, ALGORITHMS)


def neuron_rank(label: str) -> tuple[float, list[tuple[int, int, str]]]:
    """Return the sort key of a neuron."""
    return _rank(label, NEURONS)


def _rank(label: str, registry: Registry) -> tuple[float, list[tuple[int, int, str]]]:
    order = _display(label, registry).order
    return math.inf if order is None else order, natural(label)


def rule_title(label: str) -> str:
    """Return a rule's name in tables and figures: its registered title, or the label in the suite."""
    return _title(label, ALGORITHMS)


def rule_family(label: str) -> str:
    """Return the registered rule of which a label names a variant, `tbptt` for `tbptt K=10`, or else the label."""
    return _display(label, ALGORITHMS).name


def neuron_label(neuron: str, network: str) -> str:
    """Return a neuron's name in tables and figures, with the network unless it is `recurrent`."""
    title = _title(neuron, NEURONS)
    return title if network == "recurrent" else f"{title}, {network}"


def _title(label: str, registry: Registry) -> str:
    display = _display(label, registry)
    return display.title if display.title is not None and display.name == label else label


def _display(label: str, registry: Registry) -> Display:
    """Return the display of the component with the longest name that is a prefix of the label, as `tbptt` of
    `tbptt K=10`. Punctuation and case do not matter; without such a component, return a display of the label."""
    displays = registry.displays()
    named = [name for name in displays if _plain(label).startswith(_plain(name))]
    return displays[max(named, key=len)] if named else Display(label)


@functools.cache
def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def anchor(key: Iterable[str]) -> str:
    """Return the name of a cell's section of the page, from its `KEYS`."""
    return "cell-" + hashlib.sha256("\x1f".join(key).encode()).hexdigest()[:10]


def slug(text: str) -> str:
    """Convert text to a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip(".-") or "unnamed"


def groups(frame: pd.DataFrame, by: list[str]) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """Group a frame in the order of its rows; keys are always tuples."""
    grouped: Any = frame.groupby(by, sort=False) if len(frame) else ()  # pandas types a key as any hashable
    return list(grouped)


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
    if runs.empty:
        return pd.DataFrame(columns=COLUMNS)
    if measure not in QUANTITIES and f"unit.{measure}" not in runs:
        known = [*QUANTITIES, *(c.removeprefix("unit.") for c in map(str, runs) if c.startswith("unit."))]
        raise UsageError(f'no measure "{measure}" in the records', hint=suggestion(measure, dict.fromkeys(known)))
    columns = Columns(runs)
    parts = columns.places(["suite", "scale", "dataset"])
    return _summaries([row for places in parts for row in _summary(columns, places, measure)])


@once
def summary_of(results: Results, measure: str) -> pd.DataFrame:
    """Summarise one measure of all runs of results; see `summarise`."""
    return summarise(runs_of(results), measure)


def _summaries(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return ordered(frame_of({name: [row[name] for row in rows] for name in COLUMNS}))


def _summary(columns: Columns, places: list[int], measure: str) -> list[dict[str, Any]]:
    """Return the rows of `summarise` of the runs of one dataset."""
    name = _metric_of(columns, places, measure)
    units = columns.known(places, f"unit.{name}")
    kind = quantity(name, units[0] if units else "")
    if name != measure and measure != "metric":
        kind = kind._replace(protocol=quantity(measure).protocol)
    elif name != measure or columns.known(places, f"unit.{name}{BEST}"):
        kind = kind._replace(protocol=final_protocol(columns.at(places, "mean_of_last")))
    chances = columns.known(places, "chance") if measure in METRICS else []
    better = direction(name, columns.known(places, f"better.{name}"))
    shared = {"better": better, "chance": float(max(chances, default=math.nan))}
    values = (math.nan if value is None else float(value) for value in columns.at(places, name))
    run_columns = [*(columns.at(places, column) for column in _OF_RUN), values, columns.at(places, f"missing.{name}")]
    keys = zip(*(columns.at(places, key) for key in KEYS), strict=True)
    cells: dict[tuple[str, ...], list[_Run]] = {}
    for key, run in zip(keys, zip(*run_columns, strict=True), strict=True):
        cells.setdefault(key, []).append(_Run(*run))
    return [_row(key, cell, name, kind) | shared for key, cell in cells.items()]


def final_protocol(mean_of_last: Iterable[int]) -> str:
    """Return the protocol of a metric at the end of training: the final epoch, or the mean over the last epochs.

    Args:
        mean_of_last: that number of each run.
    """
    counts = sorted(set(mean_of_last)) or [1]
    if counts == [1]:
        return quantity("metric").protocol
    return f"test split, mean of the evaluations after the last {' or '.join(map(str, counts))} epochs"


def further_metrics(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise each metric of a task besides the headline metric, at the final epoch: rows as in `summarise`."""
    columns = Columns(runs)
    rows: list[dict[str, Any]] = []
    for places in columns.places(["suite", "scale", "dataset"]):
        headline = _metric_of(columns, places, "metric")
        names = [name for name in task_metrics(_recorded(columns, places)) if name != headline]
        rows += [row for name in names for row in _summary(columns, places, name)]
    return _summaries(rows)


def _metric_of(columns: Columns, places: list[int], measure: str) -> str:
    """Return the measure that `metric...` stands for: the metric that the newest record names, or else (older records
    name none) the measure that they have in both protocols.
    """
    if measure not in METRICS:
        return measure
    runs = zip(*(columns.at(places, name) for name in ("started", "id", "metric")), strict=True)
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


def _row(key: tuple[str, ...], runs: list[_Run], measure: str, kind: Quantity) -> dict[str, Any]:
    statuses = Counter(run.status for run in runs)
    counting = [run for run in runs if measure.startswith(MEASURED_ONCE) or run.status == "ok"]
    counted = [run for run in counting if not math.isnan(run.value)]
    values = [run.value for run in counted]
    interval = replicate_interval(values, measure, kind.recorded) if values else None
    nothing = float("nan")
    return {
        **dict(zip(KEYS, key, strict=True)),
        "measure": measure,
        "unit": kind.recorded,
        "mean": interval.mean if interval else nothing,
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else nothing,
        "low": nothing if interval is None or interval.low is None else interval.low,
        "high": nothing if interval is None or interval.high is None else interval.high,
        "n": len(values),
        "values": tuple(values),
        "replicates": tuple(run.replicate for run in counted),
        "runs": len(runs),
        **{f"n_{status}": statuses[status] for status in FAILED},
        "trials": runs[0].trials,
        "edge": runs[0].edge,
        "note": "; ".join(_notes(runs, counted, measure)),
        "protocol": kind.protocol,
        "level": LEVEL,
    }


def _notes(runs: list[_Run], counted: list[_Run], measure: str) -> list[str]:
    """Return the notes of a row: remarks, failures, reasons of missing values, contention, superseded runs.

    Args:
        runs: the runs of the cell.
        counted: those whose values count.
        measure: its name.
    """
    notes = [one_line(remark) for remark in dict.fromkeys(run.remark for run in runs) if not is_missing(remark)]
    failed = [run for run in runs if run.status != "ok"]
    for status in FAILED:
        reasons = dict.fromkeys(run.reason for run in failed if run.status == status)
        notes += [f"{status}: {one_line(r) or 'no reason recorded'}" for r in reasons]
    missing = [run.missing for run in runs if run.status == "ok" and math.isnan(run.value)]
    # By protocol, measuring passes run once per cell: the other replicates lack no value.
    if missing and not (counted and measure.startswith(MEASURED_ONCE)):
        known = [reason for reason in missing if not is_missing(reason)]
        if not (measure.startswith(MEASURED_ONCE) and known):  # by protocol, only the first replicate has a reason
            known = ["not in the record" if is_missing(reason) else reason for reason in missing]
        notes += [f"{NO_VALUE}{one_line(r)}" for r in dict.fromkeys(known)]
    if measure.startswith("wall_time") and any(run.contended for run in counted):
        notes.append("the machine was busy during this timing")
    if runs[0].edge and not measure.startswith(MEASURED_ONCE):
        notes.append(f"at the edge of its grid: {runs[0].edge}, of {runs[0].trials} trials")
    if older := _older(runs[0].superseded):
        notes.append(older)
    return notes


def left_out(cell: pd.DataFrame) -> str:
    """Return a sentence on the superseded runs of a cell, which do not count; empty if there are none."""
    return _older(int(cell["superseded"].iloc[0]))


def _older(n: int) -> str:
    return f"{n} older run{'s' * (n > 1)} left out: repeated since, or of other code, settings or versions" * (n > 0)


def one_line(text: Any) -> str:
    """Return text without line breaks and control characters, for a table cell."""
    plain = str(text)
    if not plain.isprintable():
        plain = "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in plain)
    return " ".join(plain.split())
