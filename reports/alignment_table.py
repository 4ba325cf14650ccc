"""The table of gradient alignment with BPTT."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.alignment_points import COSINE, MEANING, MEASURES, PARAMETERS, alignment_points, epochs_of
from throughtime.reports.alignment_ranks import alignment_ranks, warning
from throughtime.reports.cells import KEYS, groups, neuron_label, one_line, rule_title, slug, summarise
from throughtime.reports.figures import cells_left_out, count_range
from throughtime.reports.quantities import replicate_interval
from throughtime.reports.table import REPLICATES, Entry, Footnotes, Table
from throughtime.reports.tables import entry

NO_GRADIENT = "no value: one of the two gradients is zero or not finite, or they cannot be compared"


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
    rows = [_row(row, measure, group, place, places) for measure, group, place, row in _summaries(runs, fine, places)]
    long = pd.DataFrame(rows)

    notes, lines = Footnotes(), []
    for key, of_cell in groups(long, ["dataset", "network", "neuron", "rule", "group"]):
        dataset, network, neuron, rule, group = key
        line = [Entry(one_line(name)) for name in (dataset, neuron_label(neuron, network), rule_title(rule), group)]
        lines.append(line + [entry(_rounded(row), notes) for _, row in of_cell.iterrows()])
    when = {place: epochs_of(long, place) for place in places}
    head = [f"{title}, {when[place]}" for title in MEASURES.values() for place in places]
    caption = [
        f"Suite {suite}, scale {scale}.",
        f"{MEANING}; 1 and 1: equal gradients. Hidden: {PARAMETERS}.",
        f"Mean of {count_range(long.loc[long['n'] > 0, 'n'])} replicates.",
        REPLICATES,
        "Failed runs are in no mean; they are counted by status.",
        *warning(alignment_ranks(results, suite, scale)),
        *cells_left_out(runs, fine, "table"),
    ]
    letters = [(letter, note) for note, letter in notes.items()]
    title = f"Gradient alignment: {suite}, {scale}"
    head = ["dataset", "neuron", "rule", "parameters", *head]
    return Table(f"{slug(suite)}-{scale}-alignment", title, caption, head, lines, letters, long, labels=4)


def _summaries(
    runs: pd.DataFrame, fine: pd.DataFrame, places: dict[str, pd.DataFrame]
) -> Iterator[tuple[str, str, str, pd.Series]]:
    """Yield the row of `summarise` for each cell, group, measure and epoch, in the order of the table."""
    names = [group for group in dict.fromkeys(fine["group"]) if f"unit.{COSINE}.{group}" in runs]
    by = {
        (measure, group, *row[KEYS]): row
        for measure in MEASURES
        for group in names
        for _, row in summarise(runs, f"{measure}.{group}").iterrows()
    }
    for key, _ in groups(fine[fine["group"].isin(names)], [*KEYS, "group"]):
        for measure in MEASURES:
            for place in places:
                found = (measure, key[-1], *key[:-1])
                yield measure, key[-1], place, by[found]


def _row(row: pd.Series, measure: str, group: str, place: str, places: dict[str, pd.DataFrame]) -> pd.Series:
    """Return a row of the long form: from the records or, for the first epoch, from the learning curves."""
    points = places[place]
    here = points[(points[KEYS] == row[KEYS]).all(axis=1) & (points["group"] == group)]
    more = {"group": group, "epoch": int(here["epoch"].iloc[0]), "place": place}
    if place == "first":
        values = here[measure].dropna()
        interval = replicate_interval(values, measure, row["unit"]) if len(values) else None
        nothing = float("nan")
        more |= {
            "mean": interval.mean if interval else nothing,
            "sd": float(values.std()),
            "low": nothing if interval is None or interval.low is None else interval.low,
            "high": nothing if interval is None or interval.high is None else interval.high,
            "n": len(values),
            "values": tuple(values),
            # The reasons belong to the last epoch, because curves contain none.
            "note": "; ".join(
                [
                    *(note for note in row["note"].split("; ") if note and not note.startswith("no value")),
                    *([NO_GRADIENT] if len(values) < len(here) else []),
                ]
            ),
        }
    return pd.concat([row.drop(list(more), errors="ignore"), pd.Series(more)])


def _rounded(row: pd.Series) -> pd.Series:
    """Round for print: 0.99996 becomes 1.00 and not 1.000."""
    mean, low, high = (float(f"{row[end]:.3g}") for end in ("mean", "low", "high"))
    return pd.concat(
        [
            row.drop(["mean", "low", "high", "values"]),
            pd.Series(
                {"mean": mean, "low": low, "high": high, "values": tuple(float(f"{v:.3g}") for v in row["values"])}
            ),
        ]
    )
