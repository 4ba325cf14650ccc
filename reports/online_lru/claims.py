"""Claims of Zucchet et al. 2023: exact in one layer, biased through depth, better than credit within a step."""

from __future__ import annotations

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    ANYTHING,
    Answer,
    EachWithin,
    Values,
    by_replicate,
    claim,
    decided,
    in_common,
    judged,
    means,
    paper_scale,
)
from throughtime.reports.papers.stored import stored

REGISTERED = "before the runs: 2026-11-28; of cosines after a first look at seed 0"
NEEDS = "scale paper: 128 units, 20 000 sequences, 25 epochs"
EQUAL, DIFFERENT = 1e-12, 1e-3
"""Relative differences of gradients that count as none, and as one."""
DEPTHS, SEEDS = (2, 3, 4), (0, 1, 2)
LAYERS = (1, 2, 4)
"""Numbers of layers of the suite."""


@claim(ANYTHING, REGISTERED, primary=True)
def exact_in_one_layer(results: Results) -> Answer:
    """In one layer of linear recurrent units the online rule is BPTT; with more layers it is not.

    Summary: largest difference of the gradients over the largest number, float64. Criterion: at most 1e-12 in one
    layer, above 1e-3 in two.
    """
    single, two = gradient_error(1), gradient_error(2)
    holds = single <= EQUAL and two > DIFFERENT
    return decided(holds, f"{single:.2g}; in two layers {two:.2g}", "relative to the largest number")


@claim(ANYTHING, REGISTERED)
def alignment_falls_with_depth(results: Results) -> Answer:
    """The gradient of the layers below the last one turns away from BPTT's as the network becomes deeper.

    Summary: mean cosine over the layers below the last with two layers less that with four, mean over three seeds.
    Criterion: above 0.
    """
    lower = {depth: [float(np.mean(cosines("online", depth, seed)[:-1])) for seed in SEEDS] for depth in DEPTHS}
    falls = {"2 less 4 layers": [two - four for two, four in zip(lower[2], lower[4], strict=True)]}
    shown = means({f"{depth} layers": row for depth, row in lower.items()})
    return decided(EachWithin(low=0)(falls), shown, "cosines of the layers below the last", n=len(SEEDS))


@claim(ANYTHING, REGISTERED)
def better_than_within_the_step(results: Results) -> Answer:
    """The online rule's gradient is closer to BPTT's than the gradient within each step.

    Summary: difference of the cosines, mean over all layers, and over three seeds, for two to four layers. Criterion:
    above 0 for each depth.
    """
    values = {
        f"{depth} layers": [
            float(np.mean(cosines("online", depth, seed)) - np.mean(cosines("spatial", depth, seed))) for seed in SEEDS
        ]
        for depth in DEPTHS
    }
    return decided(EachWithin(low=0)(values), means(values), "difference of cosines; > 0", n=len(SEEDS))


@claim(NEEDS, REGISTERED)
def learns_to_copy(results: Results) -> Answer:
    """The online rule has a higher accuracy on the copy task than credit within the step.

    Summary: difference of the test accuracies of a replicate in points, mean over n >= 3, in one, two and four layers.
    Criterion: above 0 for each.
    """

    def points(runs: Results) -> Values:
        frame = runs.select("online_lru").frame

        def accuracy(rule: str, layers: int) -> pd.Series:
            chosen = frame[(frame["rule"] == rule) & (frame["network"] == f"{layers}-layers")]
            return 100 * by_replicate(chosen, "accuracy", 0.5)

        return in_common({f"{n}": accuracy("online", n) - accuracy("spatial", n) for n in LAYERS})

    return judged(results, points, EachWithin(low=0), "points by layers; > 0", paper_scale(), show=means)


@stored
def gradient_error(depth: int, seed: int = 0) -> float:
    """Return the largest difference of the online rule's gradient from BPTT's over the largest number."""
    from throughtime.reports.layer_gradients import largest_difference  # imports torch
    from throughtime.reports.online_lru.experiment import gradients

    by_rule = gradients(depth, seed)
    return largest_difference(by_rule["online"], by_rule["BPTT"])


@stored
def cosines(rule: str, depth: int, seed: int) -> tuple[float, ...]:
    """Return the cosine of a rule's gradient with BPTT's for each layer, the first layer first."""
    from throughtime.reports.layer_gradients import layer_cosines  # imports torch
    from throughtime.reports.online_lru.experiment import gradients

    by_rule = gradients(depth, seed)
    return layer_cosines(by_rule[rule], by_rule["BPTT"])
