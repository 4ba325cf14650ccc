"""The table of gradient alignment with BPTT."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.interval import Interval
from throughtime.reports.alignment_points import COSINE, MEANING, MEASURES, PARAMETERS, alignment_points, epochs_of
from throughtime.reports.alignment_ranks import alignment_ranks, warning
from throughtime.reports.cells import KEYS, TASK, neuron_label, one_line, rule_title, slug
from throughtime.reports.figures import cells_left_out, count_range
from throughtime.reports.plain_values import Row, row_groups, rows_of
from throughtime.reports.quantities import replicate_interval
from throughtime.reports.summaries import suite_summary
from throughtime.reports.table import FAILURES, REPLICATES, Entry, Footnotes, Table
from throughtime.reports.tables import entry

NO_GRADIENT = "no value: one of the two gradients is zero or not finite, or they cannot be compared"


LINE = [*TASK, "rule", "group"]
"""What a line of the table shows."""


def alignment_table(results: Results, suite: str, scale: str) -> Table | None:
    """Tabulate cosine and norm ratio at the first and last measured epochs, by rule, neuron and parameter group.

    Args are those of `alignment_over_training`.

    Returns:
        The table, or None if no run that ended ok measured it.
    """
    runs, points = alignment_points(results, suite, scale)
    fine = points[points["status"] == "ok"] if len(points) else points
    if fine.empty:
        return None
    first, last = (fine.groupby(KEYS)["epoch"].transform(end) for end in ("min", "max"))
    places = {"first": fine[fine["epoch"] == first], "last": fine[fine["epoch"] == last]}
    if (first == last).all():
        del places["first"]
    recorded = [group for group in dict.fromkeys(fine["group"]) if f"unit.{COSINE}.{group}" in runs]
    pairs = itertools.product(MEASURES, recorded)
    measured = {name: suite_summary(results, suite, scale, ".".join(name)) for name in pairs}
    rows = list(_rows(measured, places))
    long = pd.DataFrame(rows)
    notes, lines = Footnotes(), dict[tuple[str, ...], list[Entry]]()
    for row in rows:
        dataset, network, neuron, rule, group = key = tuple(row[name] for name in LINE)
        names = (dataset, neuron_label(neuron, network), rule_title(rule), group)
        line = lines.setdefault(key, [Entry(one_line(name)) for name in names])
        line.append(entry(_rounded(row), notes))
    when = {place: epochs_of(long, place) for place in places}
    head = [f"{title}, {when[place]}" for title in MEASURES.values() for place in places]
    caption = [
        f"Suite {suite}, scale {scale}.",
        f"{MEANING}; 1 and 1: equal gradients. Hidden: {PARAMETERS}.",
        f"Mean of {count_range(long.loc[long['n'] > 0, 'n'])} replicates.",
        REPLICATES,
        FAILURES,
        *warning(alignment_ranks(results, suite, scale)),
        *cells_left_out(runs, fine, "table"),
    ]
    letters = [(letter, note) for note, letter in notes.items()]
    title = f"Gradient alignment: {suite}, {scale}"
    head = ["dataset", "neuron", "rule", "parameters", *head]
    return Table(f"{slug(suite)}-{scale}-alignment", title, caption, head, [*lines.values()], letters, rows, labels=4)


def _rows(measured: Mapping[tuple[str, str], list[Row]], places: dict[str, pd.DataFrame]) -> Iterator[Row]:
    """Yield the row of the long form of each cell, group, measure and epoch, in the order of the table.

    Rows are plain values: a table has thousands, and a single operation of pandas takes longer than all else of a row.

    Args:
        measured: the summaries of the suite by measure and group of parameters.
        places: the points of the first and of the last epoch.
    """
    by = {(*name, *(row[key] for key in KEYS)): row for name, rows in measured.items() for row in rows}
    points = {place: dict(row_groups(rows_of(rows), [*KEYS, "group"])) for place, rows in places.items()}
    for key in points["last"]:
        for measure in MEASURES if (COSINE, key[-1]) in measured else ():
            for place in places:
                index = (measure, key[-1], *key[:-1])
                row = by[index]
                yield row | _epoch_row(place, points[place][key], measure, row)


def _epoch_row(place: str, points: list[Row], measure: str, row: Row) -> dict[str, Any]:
    """Return what the row of an epoch has beside that of the records; of the first epoch, from the learning curves."""
    fields = {"group": points[0]["group"], "epoch": points[0]["epoch"], "place": place}
    if place != "first":
        return fields
    values = [point[measure] for point in points if not math.isnan(point[measure])]
    interval = replicate_interval(values, measure, row["unit"]) if values else Interval(math.nan, None, None, 0)
    notes = [note for note in row["note"].split("; ") if note and not note.startswith("no value")]
    return {
        **fields,
        "mean": interval.mean,
        "sd": statistics.stdev(values) if len(values) > 1 else math.nan,
        "low": math.nan if interval.low is None else interval.low,
        "high": math.nan if interval.high is None else interval.high,
        "n": len(values),
        "values": tuple(values),
        # The reasons belong to the last epoch, because curves contain none.
        "note": "; ".join([*notes, *([NO_GRADIENT] if len(values) < len(points) else [])]),
    }


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Round for print: 0.99996 becomes 1.00 and not 1.000."""
    ends = {end: float(f"{row[end]:.3g}") for end in ("mean", "low", "high")}
    return row | ends | {"values": tuple(float(f"{value:.3g}") for value in row["values"])}
