"""Growth of cost with size: bytes per time step, and exponents in T, B, H and L, all other settings equal."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from throughtime.records.record import Record
from throughtime.records.results import Results
from throughtime.reports.cells import TASK, groups, neuron_label, one_line, rule_title, runs_of, slug
from throughtime.reports.plain_values import rows_of
from throughtime.reports.quantities import quantity
from throughtime.reports.table import Entry, Footnotes, Table
from throughtime.spec import RunSpec

WAYS = {
    "peak_live_bytes": "input on the device",
    "peak_live_bytes_without_input": "input excluded",
    "peak_live_bytes_streamed": "input streamed",
}
"""Measures of the exact peak, which differ in where the input is."""
PROCESS = "peak_process_bytes"
COSTS = ("wall_time", "peak_live_bytes")
SIZES = {"T": "time steps", "B": "sequences a batch", "H": "neurons a layer", "L": "layers"}
NAMES = ["suite", "scale", "dataset", "batch", "network", "neuron", "rule", "series"]
CELL = [*TASK, "rule"]


def slopes(results: Results) -> pd.DataFrame:
    """Compute bytes per time step for each set of cells that differ only in the dataset's `steps`.

    Args:
        results: of any suites.

    Returns:
        A row for each set and measure (`WAYS`, `PROCESS`): `slope` by least squares; `low` and `high`, the smallest and
        largest slope between neighbouring T, equal where the growth is exactly linear; `lengths`, the number of T, from
        `first` to `last`; the columns `NAMES`, with the dataset's registered name.
    """
    data = series(results, "T", [*WAYS, PROCESS])
    rows = []
    for key, alike in groups(data, NAMES):
        for measure in [*WAYS, PROCESS]:
            points = _points(alike, measure, "T")
            if len(points) < 2:
                continue
            between = [(b - a) / (t - s) for (s, a), (t, b) in itertools.pairwise(points)]
            rows.append(
                {
                    **dict(zip(NAMES, key, strict=True)),
                    **{"measure": measure, "slope": float(_slope(points))},
                    **{"low": float(min(between)), "high": float(max(between)), "lengths": len(points)},
                    **{"first": int(points[0][0]), "last": int(points[-1][0])},
                }
            )
    columns = [*NAMES, "measure", "slope", "low", "high", "lengths", "first", "last"]
    return pd.DataFrame(rows, columns=columns)


def exponents(results: Results) -> pd.DataFrame:
    """Compute exponents of `COSTS` in each of `SIZES` for each set of cells that differ only in that size.

    A suite that varies only T and measures no time is covered by `slopes`.

    Args:
        results: of any suites.

    Returns:
        A row for each set, size and measure: `exponent`, the slope of log(value) against log(size) by least squares;
        `error`, its standard error from the scatter of the points (NaN for two); `n`, the number of sizes; `sizes`,
        the sizes, and `at`, the values of the other sizes; `contended`: whether a time was measured on a busy machine;
        the names of the set, with the registered names of dataset and network.
    """
    names = ["suite", "scale", *CELL, "series"]
    rows = []
    measured = _measured(results, COSTS)
    for size in SIZES:
        data = _varied(*measured, size)
        for key, alike in groups(data.assign(network=data["kind"]), names):
            held = [other for other in SIZES if other != size and alike[other].notna().all()]
            others = ", ".join(f"{other} {alike[other].iloc[0]:.0f}" for other in held)
            for measure in COSTS:
                points = [(x, y) for x, y in _points(alike, measure, size) if y > 0]
                if len(points) < 2:
                    continue
                exponent, error = _fit(*np.log(np.array(points, dtype=float)).T)
                rows.append(
                    {
                        **dict(zip(names, key, strict=True)),
                        **{"size": size, "measure": measure, "exponent": exponent, "error": error, "n": len(points)},
                        **{"sizes": ", ".join(str(x) for x, _ in points), "at": others},
                        "contended": measure == "wall_time" and bool(alike["contended"].any()),
                    }
                )
    columns = [*names, "size", "measure", "exponent", "error", "n", "sizes", "at", "contended"]
    table = pd.DataFrame(rows, columns=columns)
    return table.groupby(["suite", "scale"]).filter(
        lambda suite_rows: set(suite_rows["size"]) != {"T"} or "wall_time" in set(suite_rows["measure"])
    )


def tables(results: Results) -> list[Table]:
    """Return the tables of slopes and exponents for each suite and scale that varies a size."""
    slope, exponent = slopes(results), exponents(results)
    return [
        *[_slope_table(suite, scale, rows) for (suite, scale), rows in groups(slope, ["suite", "scale"])],
        *[_exponent_table(suite, scale, rows) for (suite, scale), rows in groups(exponent, ["suite", "scale"])],
    ]


def series(results: Results, size: str, measures: Iterable[str]) -> pd.DataFrame:
    """Select the runs that have one of the measures and belong to a series with several sizes.

    Returns:
        The rows of the frame with `series`, a digest that is equal for runs that differ only in the size; a column for
        each of `SIZES`; `dataset` and `kind`, the registered names of dataset and network; a column for each measure.
    """
    return _varied(*_measured(results, measures), size)


def _measured(results: Results, measures: Iterable[str]) -> tuple[pd.DataFrame, list[Record]]:
    """Return the runs that have one of the measures, with the columns of `series` but `series`, and their records."""
    measures = list(measures)
    columns = ["suite", "scale", "network", "neuron", "rule", "dataset", "batch", "steps", "replicate", "id"]
    data = runs_of(results).reindex(columns=[*columns, "contended", *measures])
    data = data[data[measures].notna().any(axis=1)]
    records = [results.record(run) for run in data["id"]]
    layers = [_layers(record.spec) for record in records]
    data = data.assign(
        T=pd.Series([record.spec.dataset.options.get("steps") for record in records], data.index, dtype=float),
        B=pd.Series([record.spec.training.batch for record in records], data.index, dtype=float),
        H=pd.Series([neurons for neurons, _ in layers], data.index, dtype=float),
        L=pd.Series([number for _, number in layers], data.index, dtype=float),
        dataset=[record.spec.dataset.name for record in records],
        kind=[record.spec.network.name for record in records],
    )
    return data, records


def _varied(data: pd.DataFrame, records: list[Record], size: str) -> pd.DataFrame:
    """Return the runs that belong to a series with several values of a size."""
    data = data.assign(series=[_alike(record, size) for record in records])
    data = data[data[size].notna()]
    return data[data.groupby("series")[size].transform("nunique") >= 2].reset_index(drop=True)


def _alike(record: Record, size: str) -> str:
    """Return a digest of the suite and of all settings that may affect cost, except for one size."""
    spec = record.spec
    dataset, network, batch = dict(spec.dataset.options), dict(spec.network.options), spec.training.batch
    # Labels of components that vary contain the size, so the digest leaves them out.
    label = spec.network.label
    if size == "T":
        dataset.pop("steps", None)
    elif size == "B":
        batch = 0
    else:
        hidden = _hidden(spec)
        network["hidden"] = len(hidden) if size == "H" else sorted(set(hidden))
        label = ""
    parts: list[Any] = [spec.suite, spec.scale, spec.rule.model_dump(), spec.neuron.model_dump(), spec.network.name]
    parts += [label, network, spec.dataset.name, dataset, batch, spec.training.optimiser, spec.threads]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _layers(spec: RunSpec) -> tuple[float, float]:
    """Return neurons per layer and number of layers; NaN where layers differ in size."""
    hidden = _hidden(spec)
    return (hidden[0], len(hidden)) if len(set(hidden)) == 1 else (math.nan, math.nan)


def _hidden(spec: RunSpec) -> list[int]:
    """Return the sizes of the layers; networks of one layer have a number as their option."""
    hidden = spec.network.options.get("hidden", [])
    return [hidden] if isinstance(hidden, int) else list(hidden)


def _points(alike: pd.DataFrame, measure: str, size: str) -> list[tuple[int, Fraction]]:
    """Return sizes with mean values, in ascending order, as fractions, so that slopes are exact."""
    known = alike[alike[measure].notna()]
    return [(int(x), sum(map(Fraction, costs), Fraction(0)) / len(costs)) for x, costs in known.groupby(size)[measure]]


def _slope(points: list[tuple[int, Fraction]]) -> Fraction:
    """Return the slope by least squares, computed exactly."""
    t, y = (sum(column, Fraction(0)) / len(points) for column in zip(*points, strict=True))
    covariance = sum(((x - t) * (v - y) for x, v in points), Fraction(0))
    return covariance / sum(((x - t) ** 2 for x, _ in points), Fraction(0))


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope by least squares and its standard error."""
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    free = len(x) - 2
    return slope, math.sqrt(((y - slope * x) ** 2).sum() / free / (x @ x)) if free else math.nan


def _slope_table(suite: str, scale: str, rows: pd.DataFrame) -> Table:
    ways = [*WAYS.values(), "process peak"]
    head = ["dataset, batch", "neuron", "rule", "T", *[f"{way} (B a step)" for way in ways], "process minus exact"]
    lines = []
    for (dataset, batch, network, neuron, rule, _), line in groups(rows, NAMES[2:]):
        measures = {row["measure"]: row for _, row in line.iterrows()}
        spans = dict.fromkeys(f"{row['first']}–{row['last']} ({row['lengths']})" for row in measures.values())
        labels = [f"{dataset}, {batch}", neuron_label(neuron, network), rule_title(rule), "; ".join(spans)]
        texts = [*map(one_line, labels), *[_shown(measures.get(measure)) for measure in [*WAYS, PROCESS]]]
        exact, process = measures.get("peak_live_bytes_without_input"), measures.get(PROCESS)
        texts.append("—" if exact is None or process is None else _difference(process["slope"], exact["slope"]))
        lines.append([Entry(text) for text in texts])
    described = [quantity(measure) for measure in (next(iter(WAYS)), PROCESS) if measure in set(rows["measure"])]
    caption = [
        f"Suite {suite}, scale {scale}: bytes of peak memory a time step, all but T the same.",
        "Least squares; in brackets the smallest and largest slope between neighbouring T, where they differ: without "
        "brackets the growth is exactly linear. T: first to last (how many).",
        *[f"{kind.title[0].upper()}{kind.title[1:]}: {kind.protocol}." for kind in described],
        "Process minus exact: difference of the two slopes, both without input; the measurement error of the process "
        "peak.",
    ]
    name, title = f"{slug(suite)}-{scale}-slopes", f"Memory a time step: {suite}, {scale}"
    return Table(name, title, caption, head, lines, [], rows_of(rows), labels=4)


def _shown(row: pd.Series | None) -> str:
    if row is None:
        return "—"
    between = "" if row["low"] == row["high"] else f" ({_bytes(row['low'])} to {_bytes(row['high'])})"
    return _bytes(row["slope"]) + between


def _bytes(value: float) -> str:
    """Format bytes as `10,372`, with decimals only for small numbers that are not whole."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"


def _difference(process: float, exact: float) -> str:
    share = f" ({100 * (process - exact) / exact:+.1f} %)" if exact else ""
    return f"{'+' if process > exact else ''}{_bytes(process - exact)}{share}"


def _exponent_table(suite: str, scale: str, rows: pd.DataFrame) -> Table:
    notes, lines = Footnotes(), []
    by_measure = [(m, cell) for m in COSTS for cell in groups(rows[rows["measure"] == m], CELL)]
    for measure, ((dataset, network, neuron, rule), cell) in by_measure:
        by_size = {size: cell[cell["size"] == size] for size in SIZES}
        # Sets of the same name differ in the other sizes, which the footnotes state.
        for i in range(max(map(len, by_size.values()))):
            labels = [dataset, neuron_label(neuron, network), rule_title(rule), quantity(measure).title]
            entries = [
                _exponent(rows_of_size.iloc[i], notes) if i < len(rows_of_size) else Entry("—")
                for rows_of_size in by_size.values()
            ]
            lines.append([*(Entry(one_line(label)) for label in labels), *entries])
    caption = [
        f"Suite {suite}, scale {scale}: cost grows as size to the power of this number, all else the same.",
        f"{'; '.join(f'{size}: {what}' for size, what in SIZES.items())}.",
        "Slope of log(cost) against log(size) by least squares ± its standard error from the scatter of the points "
        "(none for two). A constant part of the cost lowers it at small sizes.",
        "Wall time is that of a sequence: a batch's exponent in B is larger by 1. "
        "Peak of live tensors: the whole input on the device.",
    ]
    head = ["dataset", "neuron", "rule", "measure", *SIZES]
    letters = [(letter, note) for note, letter in notes.items()]
    title = f"Exponents of cost: {suite}, {scale}"
    return Table(f"{slug(suite)}-{scale}-exponents", title, caption, head, lines, letters, rows_of(rows), labels=4)


def _exponent(row: pd.Series, notes: Footnotes) -> Entry:
    error = "" if math.isnan(row["error"]) else f" ± {row['error']:.2f}"
    note = f"{row['size']} {row['sizes']} at {row['at']}"
    note += "; the machine was busy during some timings" if row["contended"] else ""
    return Entry(f"{two_decimals(row['exponent'])}{error}", notes.mark(note))


def two_decimals(exponent: float) -> str:
    """Format an exponent as `0.50`, never as `-0.00`."""
    return f"{round(exponent, 2) + 0.0:.2f}"
