"""From runs to cells: which runs count, in which order cells stand, and one row a cell for a measure."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, get_args

import pandas as pd

from throughtime.display import Display
from throughtime.errors import UsageError, suggestion
from throughtime.records.record import Status
from throughtime.records.results import KEYS, Results
from throughtime.records.statistics import mean_interval
from throughtime.registry import ALGORITHMS, NEURONS, Registry
from throughtime.reports.quantities import LEVEL, QUANTITIES, Quantity, quantity
from throughtime.spec import MEASURED_ONCE, SCALES

FAILED: tuple[str, ...] = tuple(status for status in get_args(Status) if status != "ok")
NO_VALUE = "no value: "
"""Prefix of the part of a note that gives the reason why a measure is missing."""
COLUMNS = [
    *KEYS,
    *["measure", "unit", "mean", "low", "high", "n", "runs"],
    *[f"n_{status}" for status in FAILED],
    *["note", "protocol", "level"],
]


def runs_of(results: Results, suite: str | None = None, scale: str | None = None) -> pd.DataFrame:
    """The runs of a suite and a scale, or of all, in reading order; see `ordered`."""
    return ordered(results.select(suite, scale).frame)


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in reading order: names by their numbers, scales from tiny to paper, rules and neurons in order."""
    ranks: dict[str, Callable[[Any], Any]] = {"scale": SCALES.index, "rule": rule_rank, "neuron": neuron_rank}
    by = [*KEYS, "replicate"] if "replicate" in frame else KEYS
    columns = []
    for key in by:
        rank = {value: ranks.get(key, natural)(value) for value in set(frame[key])}
        columns.append([rank[value] for value in frame[key]])
    order = sorted(range(len(frame)), key=lambda i: [column[i] for column in columns])
    return frame.iloc[order].reset_index(drop=True)


def natural(label: Any) -> list[tuple[int, int, str]]:
    """Sort key that puts K=5 before K=10."""
    parts = re.findall(r"\d+|\D+", str(label))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts]


def rule_rank(label: str) -> tuple[float, list[tuple[int, int, str]]]:
    """Sort key of a rule: `tbptt K=10` has the order of `tbptt`."""
    return _rank(label, ALGORITHMS)


def neuron_rank(label: str) -> tuple[float, list[tuple[int, int, str]]]:
    """Sort key of a neuron."""
    return _rank(label, NEURONS)


def _rank(label: str, registry: Registry) -> tuple[float, list[tuple[int, int, str]]]:
    order = _display(label, registry).order
    return math.inf if order is None else order, natural(label)


def rule_title(label: str) -> str:
    """A rule's name in tables and figures: the title it was registered with, or the suite's own label."""
    return _title(label, ALGORITHMS)


def neuron_label(neuron: str, network: str) -> str:
    """A neuron's name in tables and figures; the network is named when it is not the plain `recurrent`."""
    title = _title(neuron, NEURONS)
    return title if network == "recurrent" else f"{title}, {network}"


def _title(label: str, registry: Registry) -> str:
    display = _display(label, registry)
    return display.title if display.title is not None and display.name == label else label


def _display(label: str, registry: Registry) -> Display:
    """Display of the component with the longest name that a suite's label begins with, as `tbptt K=10` with `tbptt`.
    Signs and capitals do not count; a label that begins with no name has a display of its own."""
    displays = registry.displays()
    named = [name for name in displays if _plain(label).startswith(_plain(name))]
    return displays[max(named, key=len)] if named else Display(label)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def anchor(key: Iterable[str]) -> str:
    """The name of a cell's section, from its `KEYS`."""
    return "cell-" + hashlib.sha256("\x1f".join(key).encode()).hexdigest()[:10]


def slug(text: str) -> str:
    """Text as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip(".-") or "unnamed"


def groups(frame: pd.DataFrame, by: list[str]) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """`groupby` that keeps the order of the rows and always gives a tuple as key."""
    found: Any = frame.groupby(by, sort=False) if len(frame) else ()  # pandas types a key as any hashable
    return list(found)


def summarise(runs: pd.DataFrame, measure: str = "metric") -> pd.DataFrame:
    """One row a cell for one measure, in long form and in reading order.

    Only runs that ended `ok` count; measures from a pass of their own (wall time, peak memory) count for runs that
    failed, too. A failed run is counted in `n_<status>` and explained in `note`, and never enters a mean.

    Args:
        runs: rows of `Results.frame`.
        measure: a measure's name; `metric` (or `metric_best_validation`) is the headline metric of the dataset's task.

    Returns:
        The columns `COLUMNS`: values in the record's unit, `low` and `high` the t interval (NaN where n < 2),
        `runs` the number of replicates, `note` why something is missing.

    Raises:
        UsageError: no run has a measure of that name.
    """
    if runs.empty:
        return pd.DataFrame(columns=COLUMNS)
    if measure not in QUANTITIES and f"unit.{measure}" not in runs:
        known = [*QUANTITIES, *(c.removeprefix("unit.") for c in map(str, runs) if c.startswith("unit."))]
        raise UsageError(f'no measure "{measure}" in the records', hint=suggestion(measure, dict.fromkeys(known)))
    rows = []
    for _, of_dataset in groups(runs, ["suite", "scale", "dataset"]):
        name = _metric_of(of_dataset, measure)
        units = of_dataset.get(f"unit.{name}", pd.Series(dtype=object)).dropna()
        kind = quantity(name, units.iloc[0] if len(units) else "")
        if name != measure:
            kind = kind._replace(protocol=quantity(measure).protocol)
        elif name in task_metrics(_recorded(of_dataset)):
            kind = kind._replace(protocol=quantity("metric").protocol)
        rows += [_row(key, of_cell, name, kind) for key, of_cell in groups(of_dataset, KEYS)]
    return ordered(pd.DataFrame(rows, columns=COLUMNS))


def _metric_of(runs: pd.DataFrame, measure: str) -> str:
    """Return the measure that `metric...` stands for: as the newest record has it that names one, or else (older
    records name none) the one that they have in both protocols, be it with a value or with the reason why not.
    """
    if measure not in ("metric", "metric_best_validation"):
        return measure
    named = runs.sort_values(["started", "id"])["metric"].dropna()
    if len(named):
        return measure.replace("metric", named.iloc[-1])
    recorded = task_metrics(_recorded(runs))
    return measure.replace("metric", recorded[0]) if recorded else measure


def _recorded(runs: pd.DataFrame) -> list[str]:
    """Names of the measures that some of the runs have, be it with a value or with the reason why not."""
    return [c.removeprefix("unit.") for c in map(str, runs) if c.startswith("unit.") and runs[c].notna().any()]


def task_metrics(measures: Iterable[str]) -> list[str]:
    """Return the task's metrics among the names of some measures, which have both protocols; the headline metric comes
    first."""
    best = "_best_validation"
    return [name.removesuffix(best) for name in dict.fromkeys(measures) if name.endswith(best)]


def _row(key: tuple[str, ...], runs: pd.DataFrame, measure: str, kind: Quantity) -> dict[str, Any]:
    counts = runs["status"].value_counts()
    values = runs[measure] if measure in runs else pd.Series(float("nan"), index=runs.index)
    if not measure.startswith(MEASURED_ONCE):
        values = values[runs["status"] == "ok"]
    values = values.dropna()
    interval = mean_interval(values, LEVEL) if len(values) else None
    nothing = float("nan")
    return {
        **dict(zip(KEYS, key, strict=True)),
        "measure": measure,
        "unit": kind.recorded,
        "mean": interval.mean if interval else nothing,
        "low": nothing if interval is None or interval.low is None else interval.low,
        "high": nothing if interval is None or interval.high is None else interval.high,
        "n": len(values),
        "runs": len(runs),
        **{f"n_{status}": int(counts.get(status, 0)) for status in FAILED},
        "note": "; ".join(_notes(runs, measure, values)),
        "protocol": kind.protocol,
        "level": LEVEL,
    }


def _notes(runs: pd.DataFrame, measure: str, values: pd.Series) -> list[str]:
    """Everything a reader must know to take the row for what it is."""
    notes = [one_line(remark) for remark in dict.fromkeys(runs["remark"].dropna())]
    for status in FAILED:
        reasons = runs.loc[runs["status"] == status, "reason"]
        notes += [f"{status}: {one_line(r) or 'no reason recorded'}" for r in dict.fromkeys(reasons)]
    without = runs[~runs.index.isin(values.index) & (runs["status"] == "ok")]
    # A pass of its own is measured once a cell: that the other replicates lack it is the protocol, not a gap.
    if len(without) and not (len(values) and measure.startswith(MEASURED_ONCE)):
        reasons = without.get(f"missing.{measure}", pd.Series(index=without.index, dtype=object))
        if measure.startswith(MEASURED_ONCE) and reasons.notna().any():
            reasons = reasons.dropna()  # that the first replicate alone has a reason is the protocol too
        notes += [f"{NO_VALUE}{one_line(r)}" for r in dict.fromkeys(reasons.fillna("not in the record"))]
    if measure.startswith("wall_time") and runs.loc[values.index, "contended"].any():
        notes.append("the machine was busy with something else while this was timed")
    if older := left_out(runs):
        notes.append(older)
    return notes


def left_out(cell: pd.DataFrame) -> str:
    """A sentence on the superseded runs of a cell, which do not count; empty if there are none."""
    n = int(cell["superseded"].iloc[0])
    return f"{n} older run{'s' * (n > 1)} left out: repeated since, or of other code, settings or versions" * (n > 0)


def one_line(text: Any) -> str:
    """Text without line breaks and control characters, as a table cell needs it."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in str(text)).split())
