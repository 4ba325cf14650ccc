"""Whether alignment with BPTT ranks rules: cosine beside result, rank correlation, and pairs that contradict it."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.alignment_points import COSINE, alignment_points
from throughtime.reports.cells import KEYS, TASK, groups, neuron_label, rule_family, rule_title
from throughtime.reports.once import once
from throughtime.reports.quantities import quantity
from throughtime.reports.summaries import summarise

PAIR = ("kf_rtrl", "rflo")
"""The pair that the warning names first: an unbiased estimate with noise, and one with a bias and without noise."""


class Order(NamedTuple):
    """Two rules of a panel whose values of cosine and of result do not overlap."""

    lower: pd.Series
    """The rule with the lower cosine."""
    higher: pd.Series
    contradicts: bool
    """Whether the rule with the lower cosine has the better result."""


@once
def alignment_ranks(results: Results, suite: str, scale: str) -> pd.DataFrame:
    """Return a row for each cell with a cosine and a result.

    `cosine` is the mean over the measured epochs and the `ok` replicates, for all parameters but the readout's, and
    `cosines` has one value for each replicate. The other columns are those of the result (`summarise`).
    """
    runs, points = alignment_points(results, suite, scale)
    if points.empty:
        return pd.DataFrame()
    headline = points[(points["group"] == points["headline"]) & (points["status"] == "ok")].dropna(subset=[COSINE])
    means = headline.groupby([*KEYS, "replicate"], sort=False)[COSINE].mean()
    cells = summarise(runs)[[*KEYS, "measure", "unit", "better", "mean", "low", "high", "n", "values", "edge"]]
    cell_means = means.groupby(KEYS, sort=False).agg(cosine="mean", cosines=tuple).reset_index()
    return cells[cells["mean"].notna() & cells["better"].isin(("lower", "higher"))].merge(cell_means, on=KEYS)


def correlations(ranks: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's rank correlation of cosine and result over the rules of each dataset and neuron: the columns
    `dataset`, `network`, `neuron`, `spearman` (positive: a higher cosine goes with a better result; NaN: fewer than
    three rules, or equal values), `rules`."""
    rows = []
    for key, cells in groups(ranks, TASK):
        gain = cells["mean"] if cells["better"].iloc[0] == "higher" else -cells["mean"]
        cosine = cells["cosine"].round(5)  # rules with the same gradient are equal: their cosines differ by rounding
        known = len(cells) > 2 and cosine.nunique() > 1 and gain.nunique() > 1
        spearman = cosine.rank().corr(gain.rank()) if known else float("nan")
        rows.append({**dict(zip(TASK, key, strict=True)), "spearman": spearman, "rules": len(cells)})
    return pd.DataFrame(rows, columns=[*TASK, "spearman", "rules"])


def orders(cells: pd.DataFrame) -> list[Order]:
    """Return the pairs of rules of one panel that differ in both: the ranges of the replicates' cosines do not overlap,
    nor do those of their results. A rule with one replicate has no range and is in no pair."""
    separate = []
    several = [row for _, row in cells.iterrows() if min(len(row["cosines"]), len(row["values"])) > 1]
    for pair in combinations(several, 2):
        lower, higher = sorted(pair, key=lambda row: row["cosine"])
        if max(lower["cosines"]) >= min(higher["cosines"]):
            continue
        above, below = min(lower["values"]) > max(higher["values"]), max(lower["values"]) < min(higher["values"])
        if above or below:
            separate.append(Order(lower, higher, above if lower["better"] == "higher" else below))
    return separate


def warning(ranks: pd.DataFrame) -> list[str]:
    """Return what the records show on alignment as a ranking of rules, as lines of a caption; empty: no two rules with
    two replicates differ in both cosine and result."""
    panels = [orders(cells) for _, cells in groups(ranks, TASK)]
    pairs = [order for panel_orders in panels for order in panel_orders]
    if not pairs:
        return []
    against = [order for order in pairs if order.contradicts]
    spearman = correlations(ranks)["spearman"].dropna()
    correlated = (
        f" Spearman's rank correlation over the rules of a dataset and neuron: {spearman.min():.2f} to "
        f"{spearman.max():.2f}." * (len(spearman) > 0)
    )
    subject = f"of {len(pairs)} pairs of rules with separate cosines and results"
    if not against:
        return [f"{subject.capitalize()}, all have the better result at the higher cosine.{correlated}"]
    known = [order for order in against if {rule_family(rule) for rule in _rules(order)} == set(PAIR)]
    example = max(known or against, key=_gap)
    count = f"{subject.capitalize()}, {len(against)} {'have' if len(against) > 1 else 'has'}"
    return [
        f"Alignment does not rank rules. {count} the better result at the lower cosine: {phrase(example)}.{correlated}"
    ]


def phrase(order: Order) -> str:
    """Return a pair in words, such as `kf_rtrl 0.21, accuracy 95 %; rflo 0.63, accuracy 71 % (xor, LIF)`."""
    kind = quantity(order.lower["measure"], order.lower["unit"])
    halves = [
        f"{rule_title(row['rule'])}: cosine {row['cosine']:.2f}, "
        f"{kind.title} {kind.show(row['mean'])} {kind.unit}".rstrip()
        for row in (order.lower, order.higher)
    ]
    return (
        f"{'; '.join(halves)} ({order.lower['dataset']}, {neuron_label(order.lower['neuron'], order.lower['network'])})"
    )


def _rules(order: Order) -> tuple[Any, Any]:
    return order.lower["rule"], order.higher["rule"]


def _gap(order: Order) -> float:
    """Return the difference of the results as a share of the larger, so that metrics of several datasets compare."""
    a, b = abs(order.lower["mean"]), abs(order.higher["mean"])
    return abs(a - b) / max(a, b)
