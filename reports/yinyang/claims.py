"""Claims on the Yin-Yang data set: how far rules for spiking networks come, beside the published levels."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    Answer,
    EachWithin,
    Values,
    Within,
    by_replicate,
    claim,
    in_common,
    judged,
    means,
    paper_scale,
    points_between,
)
from throughtime.reports.papers.published import published_table

REGISTERED = "before the runs: 2026-11-28"
NEEDS = "scale paper: 200 neurons, 100 epochs, n = 10"
PUBLISHED = {"trained": 97.6, "frozen": 85.5, "linear": 63.8}
"""Means of 20 runs, percent: a network 4-30-3, one with a frozen lower layer, and a linear classifier."""
EVENTPROP = 98.1
"""Mean of ten runs of Wunderlich and Pehle 2021, percent (results/published/eventprop_yinyang.csv)."""
RULES = ("eprop", "sltt", "fptt")


@claim(NEEDS, REGISTERED, primary=True)
def bptt_is_near_eventprop(results: Results) -> Answer:
    """BPTT with surrogate gradients in steps of 1 ms is at most 1 point below EventProp with exact spike times, 98.1 %.

    Summary: test accuracy in percent less 98.1, mean over n >= 3 replicates. Criterion: above -1.
    """

    def points(runs: Results) -> Values:
        return in_common({"BPTT less EventProp": 100 * _accuracy(runs, "bptt") - EVENTPROP})

    return judged(results, points, Within(low=-1), "points", paper_scale(), show=means)


@claim(NEEDS, REGISTERED)
def rules_train_the_hidden_layer(results: Results) -> Answer:
    """e-prop, SLTT and FPTT train the hidden layer: they exceed the level of a frozen one, 85.5 %.

    Summary: test accuracy in percent, mean over n >= 3 replicates. Criterion: above 85.5 for each; a short training
    that exceeds it has exceeded it.
    """

    def percent(runs: Results) -> Values:
        return in_common({rule: 100 * _accuracy(runs, rule) for rule in RULES})

    frozen = PUBLISHED["frozen"]
    return judged(
        results, percent, EachWithin(low=frozen), f"percent; > {frozen}", paper_scale(lasting="for"), show=means
    )


@claim(NEEDS, REGISTERED)
def rules_approach_bptt(results: Results) -> Answer:
    """e-prop, SLTT and FPTT are at most 3 points below BPTT.

    Summary: difference of the accuracies of a replicate in points, mean over n >= 3. Criterion: above -3 for each.
    """

    def points(runs: Results) -> Values:
        pairs = {rule: (rule, "bptt") for rule in RULES}
        return points_between(runs.select("yinyang").frame, pairs, "accuracy", diverged=1 / 3)

    return judged(results, points, EachWithin(low=-3), "points; > -3", paper_scale(), show=means)


def eventprop() -> pd.DataFrame:
    """Return the published accuracies of EventProp: columns epoch, run, accuracy (percent)."""
    return published_table("eventprop_yinyang").melt("epoch", var_name="run", value_name="accuracy")


def _accuracy(runs: Results, rule: str) -> pd.Series:
    frame = runs.select("yinyang").frame
    return by_replicate(frame[frame["rule"] == rule], "accuracy", diverged=1 / 3)
