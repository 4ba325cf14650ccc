"""Results of cells of the suites on FPTT over the number of parts, by replicate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.papers.claims import by_replicate

PIXELS, ROWS, LTC, CURVE = "fptt_kag_pixels", "fptt_kag_rows", "fptt_kag_ltc", "fptt_kag_curve"
NEURONS = {PIXELS: "lstm", ROWS: "lstm", LTC: "ltc-mild", CURVE: "ltc-mild"}
"""The neuron of each suite on which the claims are, but for those of `neuron_claims.py`."""


def accuracy(runs: Results, suite: str, rule: str, dataset: str = "permuted", neuron: str | None = None) -> pd.Series:
    """Return the accuracies of a cell by replicate, in percent; a run that diverged has learnt nothing.

    The neuron is that of the claims on the suite unless one is given.
    """
    frame = runs.select(suite).frame
    of_neuron = frame["neuron"] == (neuron or NEURONS[suite])
    cell = frame[(frame["rule"] == rule) & of_neuron & (frame["dataset"] == dataset)]
    return 100 * by_replicate(cell, "accuracy", diverged=0.1)


def difference(
    runs: Results, suite: str, first: str, second: str, dataset: str = "permuted", neuron: str | None = None
) -> pd.Series:
    """Return the accuracies of a rule less those of another, by replicate, in points; the neuron as in `accuracy`."""
    percent = [accuracy(runs, suite, rule, dataset, neuron) for rule in (first, second)]
    return (percent[0] - percent[1]).dropna()


def mean_difference(runs: Results, suite: str, pairs: Sequence[tuple[str, str]], dataset: str) -> pd.Series:
    """Return the mean of the differences of pairs of rules, by replicate."""
    differences_of_pairs = [difference(runs, suite, *pair, dataset) for pair in pairs]
    return pd.concat(differences_of_pairs, axis=1).mean(axis=1, skipna=False).dropna()


def nll(runs: Results, rule: str) -> pd.Series:
    """Return the losses of a rule on the chorales by replicate, in nats a step; infinite for a run that diverged."""
    frame = runs.select("fptt_kag_chorales").frame
    return by_replicate(frame[frame["rule"] == rule], "nll", diverged=np.inf)


def at_best_rate(runs: Results, rule: str, rates: tuple[str, ...]) -> pd.Series:
    """Return the accuracies of a rule on rows under SGD at the rate with the highest mean; none if one was not run.

    Args:
        runs: results with the suite on rows with LTC.
        rule: label of the rule without optimiser and rate.
        rates: ends of the labels, one for each learning rate.
    """
    cells = [accuracy(runs, LTC, f"{rule}-sgd{rate}", "rows") for rate in rates]
    return max(cells, key=pd.Series.mean) if all(map(len, cells)) else pd.Series(dtype=float)


def gain_under_sgd(runs: Results, K: int, rates: tuple[str, ...]) -> pd.Series:
    """Return the accuracies with the regulariser less those without, each at its best rate, by replicate, in points."""
    return (at_best_rate(runs, f"K{K}", rates) - at_best_rate(runs, f"K{K}-none", rates)).dropna()
