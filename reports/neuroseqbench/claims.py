"""Claims of Ma et al. 2025: the order of the rules on permuted sequential MNIST."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    Answer,
    EachWithin,
    Values,
    Within,
    claim,
    judged,
    means,
    paper_scale,
    points_between,
)

REGISTERED = "before the runs: 2026-11-28"
NEEDS = "scale paper: 784 pixels, layers of 64, 256 and 256, 100 epochs"
ORDER = {"recurrent": ("bptt", "tbptt", "eprop"), "feedforward": ("bptt", "tbptt", "ottt", "sltt")}
"""Rules by falling accuracy, as published."""
NEAR = 5.0
"""Difference of e-prop and SLTT in points that counts as none: 0.8 published, one run each."""


@claim(NEEDS, REGISTERED, primary=True)
def order_of_the_recurrent_network(results: Results) -> Answer:
    """With recurrent weights BPTT is above truncated BPTT, and that above e-prop.

    Summary: difference of the test accuracies of neighbours, best epoch on validation, in points, mean over n >= 3.
    Criterion: above 0 for each.
    """
    return judged(results, _steps("recurrent"), EachWithin(low=0), "points; > 0", paper_scale(), show=means)


@claim(NEEDS, REGISTERED)
def order_of_the_feedforward_network(results: Results) -> Answer:
    """Without recurrent weights BPTT is above truncated BPTT, that above OTTT, and OTTT above SLTT.

    Summary and criterion: as with recurrent weights.
    """
    return judged(results, _steps("feedforward"), EachWithin(low=0), "points; > 0", paper_scale(), show=means)


@claim(NEEDS, REGISTERED)
def eprop_is_like_sltt(results: Results) -> Answer:
    """e-prop is as good as SLTT with recurrent weights: what traces add is nothing.

    Summary: accuracy of e-prop less that of SLTT in points, mean over n >= 3. Criterion: between -5 and 5. There only
    recurrent weights have traces; here all have.
    """

    def points(runs: Results) -> Values:
        return _differences(runs, "recurrent", [("eprop", "sltt")])

    return judged(results, points, Within(-NEAR, NEAR), "points", paper_scale(), show=means)


@claim(NEEDS, "before the runs: 2026-11-29")
def traces_of_inputs_matter(results: Results) -> Answer:
    """e-prop with the traces of all weights is above both readings with those of recurrent weights alone.

    Summary: difference of the test accuracies in points, mean over n >= 3. Criterion: above 0 for each.
    """

    def points(runs: Results) -> Values:
        return _differences(runs, "recurrent", [("eprop", "eprop_released"), ("eprop", "eprop_recurrent")])

    return judged(results, points, EachWithin(low=0), "points; > 0", paper_scale(), show=means)


def _steps(network: str) -> Callable[[Results], Values]:
    return lambda runs: _differences(runs, network, list(pairwise(ORDER[network])))


def _differences(runs: Results, network: str, pairs: list[tuple[str, str]]) -> Values:
    frame = runs.select("neuroseqbench").frame
    frame = frame[frame["network"] == network]
    named = {f"{better} - {worse}": (better, worse) for better, worse in pairs}
    return points_between(frame, named, "accuracy_best_validation", 0.1)
