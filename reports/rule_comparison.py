"""Rule against rule: differences paired over replicates, and mean ranks over datasets."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.interval import mean_interval
from throughtime.reports.best import by_chance_equal
from throughtime.reports.cells import groups, one_line, rule_rank, rule_title, runs_of, slug, summarise
from throughtime.reports.quantities import LEVEL
from throughtime.reports.table import Entry, Table

CELL = ["dataset", "network", "neuron"]
COLUMNS = [
    *["suite", "scale", *CELL, "measure", "unit", "rule", "other"],
    *["difference", "sd", "low", "high", "n", "values", "verdict"],
]


class _Counts(NamedTuple):
    better: int
    undecided: int
    worse: int


def paired_differences(results: Results, suite: str, scale: str) -> pd.DataFrame:
    """Compare the headline metric of each pair of rules on each dataset and neuron, paired over replicates.

    Replicates with the same number share the initial weights and the order of the data.

    Args:
        results: of any suites.
        suite: one suite.
        scale: one of its scales.

    Returns:
        The columns `COLUMNS`, a row for each ordered pair with a common `ok` replicate: `difference` is the mean of
        rule minus other, in the unit of the record, with its t interval; `verdict` is `better` or `worse` if the
        interval does not contain 0, else `undecided`; it is `undecided` for a single replicate, and for fewer than
        `INTERVAL_FROM` with equal differences.
    """
    runs = runs_of(results, suite, scale)
    rows = []
    for _, row in summarise(runs).drop_duplicates(CELL).iterrows():
        if row["measure"] not in runs or not row["better"]:
            continue
        here = runs[(runs[CELL] == row[CELL]).all(axis=1) & (runs["status"] == "ok")]
        table = here.pivot(index="replicate", columns="rule", values=row["measure"]).astype(float)
        values = {rule: table[rule].to_numpy() for rule in sorted(table, key=rule_rank)}
        named = dict(row[["suite", "scale", *CELL, "measure", "unit"]])
        for rule, other in itertools.permutations(values, 2):
            difference = values[rule] - values[other]
            difference = difference[~np.isnan(difference)]
            if len(difference):
                rows.append({**named, "rule": rule, "other": other} | _difference(difference, row["better"]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _difference(values: np.ndarray, better: str) -> dict[str, object]:
    interval = mean_interval(values, LEVEL)
    decided = (
        interval.low is not None
        and interval.high is not None
        and not interval.low <= 0 <= interval.high
        and not by_chance_equal(interval.low, interval.high, interval.n)
    )
    wins = (interval.mean > 0) == (better == "higher")
    return {
        **{"difference": interval.mean, "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan},
        **{"low": interval.low, "high": interval.high, "n": interval.n, "values": tuple(values.tolist())},
        "verdict": ("better" if wins else "worse") if decided else "undecided",
    }


def mean_ranks(results: Results, suite: str, scale: str) -> tuple[pd.Series, int]:
    """Return the mean rank of each rule, 1 for the best, over the datasets and neurons on which every rule has a
    result, and their number; ties share the mean of their ranks."""
    summary = summarise(runs_of(results, suite, scale))
    found = summary[(summary["n"] > 0) & (summary["better"] != "")]
    signed = found.assign(mean=found["mean"].where(found["better"] == "lower", -found["mean"]))
    means = signed.pivot(index=CELL, columns="rule", values="mean").dropna()
    return means.rank(axis=1).mean(), len(means)


def rule_table(results: Results, suite: str, scale: str) -> Table | None:
    """Tabulate mean ranks, and on how many datasets and neurons a rule is better and worse than each other rule.

    Args are those of `paired_differences`; None if no two rules have a common replicate.
    """
    long = paired_differences(results, suite, scale)
    if long.empty:
        return None
    ranks, blocks = mean_ranks(results, suite, scale)
    rules = sorted(set(long["rule"]), key=rule_rank)
    counts = {pair: _counts(of) for pair, of in groups(long, ["rule", "other"])}
    best = ranks.min() if blocks else None
    rows = []
    for rule in rules:
        rank = Entry(f"{ranks[rule]:.2f}", best=bool(ranks[rule] == best)) if blocks else Entry("—")
        against = [counts.get((rule, other)) for other in rules]
        entries = [Entry("—" if c is None else f"{c.better} / {c.undecided} / {c.worse}") for c in against]
        rows.append([Entry(one_line(rule_title(rule))), rank, *entries])
    n = "–".join(map(str, dict.fromkeys((long["n"].min(), long["n"].max()))))
    caption = [
        f"Suite {suite}, scale {scale}.",
        f"Mean rank: 1 is the best; over the {blocks} pairs of dataset and neuron on which every rule has a result.",
        "Other columns: number of pairs of dataset and neuron on which the rule of the row is better than / not "
        f"distinguished from / worse than the rule of the column, by the {100 * LEVEL:.0f} % t interval of the "
        f"difference paired over replicates (n = {n}); not corrected for the number of comparisons.",
    ]
    head = ["rule", "mean rank", *[one_line(rule_title(rule)) for rule in rules]]
    title = f"Rule against rule: {suite}, {scale}"
    return Table(f"{slug(suite)}-{scale}-rules", title, caption, head, rows, [], long, labels=1)


def _counts(pairs: pd.DataFrame) -> _Counts:
    return _Counts(*(int((pairs["verdict"] == verdict).sum()) for verdict in _Counts._fields))
