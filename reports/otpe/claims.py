"""Claims of Summe, Schaefer and Joshi 2023: where the gradient is exact, its direction by layer, accuracy on times."""

from __future__ import annotations

from typing import Literal

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    ANYTHING,
    Answer,
    EachWithin,
    Values,
    claim,
    decided,
    judged,
    means,
    paper_scale,
    points_between,
)
from throughtime.reports.papers.stored import stored

REGISTERED = "before the runs and computations: 2026-11-28"
NEEDS = "scale paper: three layers of 128, 20 000 updates"
EQUAL, DIFFERENT = 1e-10, 1e-3
"""Relative differences of gradients that count as none, and as one."""
CODES: tuple[Literal["time", "rate"], ...] = ("time", "rate")
DEPTHS, SEEDS = (3, 4), (0, 1, 2)


@claim(ANYTHING, REGISTERED, primary=True)
def exact_with_one_hidden_layer(results: Results) -> Answer:
    """With one hidden layer below the layer of outputs, OTPE is the exact gradient; with more it is not.

    Summary: largest difference from BPTT's gradient over the largest number, float64. Criterion: at most 1e-10 with two
    layers of neurons, above 1e-3 with three.
    """
    two, three = gradient_error("OTPE", 2), gradient_error("OTPE", 3)
    holds = two <= EQUAL and three > DIFFERENT
    return decided(holds, f"{two:.2g}; with three layers {three:.2g}", "relative to the largest number")


@claim(ANYTHING, REGISTERED)
def no_hidden_layer_is_ostl_and_ottt(results: Results) -> Answer:
    """Without hidden layers OTPE is OSTL, and approximate OTPE is OTTT.

    Summary: as above, for one layer of neurons. Criterion: at most 1e-10.
    """
    errors = gradient_error("OTPE", 1, "OSTL"), gradient_error("approximate OTPE", 1, "OTTT")
    return decided(max(errors) <= EQUAL, "{:.2g}, {:.2g}".format(*errors), "one layer")


@claim(ANYTHING, REGISTERED, primary=True)
def otpe_has_the_best_direction(results: Results) -> Answer:
    """In deep networks OTPE has the highest cosine with BPTT's gradient.

    Summary: mean over the layers below the last of the cosine of OTPE's gradient less that of OSTL's and OTTT's, after
    20 updates by BPTT, both codes, three and four layers of 64, mean over three seeds. Criterion: above 0 in each.
    """
    return _direction("OTPE", ("OSTL", "OTTT"))


@claim(ANYTHING, REGISTERED)
def approximation_has_a_better_direction_than_ottt(results: Results) -> Answer:
    """Approximate OTPE has a higher cosine with BPTT's gradient than OTTT.

    Summary and criterion: as of OTPE.
    """
    return _direction("approximate OTPE", ("OTTT",))


@claim(NEEDS, REGISTERED)
def best_on_times(results: Results) -> Answer:
    """On times of spikes OTPE has a higher accuracy than OSTL and OTTT.

    Summary: difference of the test accuracies of a replicate in points, mean over n >= 3. Criterion: above 0 for each.
    """

    def points(runs: Results) -> Values:
        frame = runs.select("otpe").frame
        pairs = {f"OTPE - {name.upper()}": ("otpe", name) for name in ("ostl", "ottt")}
        return points_between(frame[frame["dataset"] == "time"], pairs, "accuracy", 0.1)

    return judged(results, points, EachWithin(low=0), "points; > 0", paper_scale(), show=means)


def _direction(rule: str, others: tuple[str, ...]) -> Answer:
    def lower(name: str, code: Literal["time", "rate"], depth: int, seed: int) -> float:
        return sum(cosines(name, code, depth, seed)[:-1]) / (depth - 1)

    values = {
        f"{code}, {depth} layers, less {other}": [
            lower(rule, code, depth, seed) - lower(other, code, depth, seed) for seed in SEEDS
        ]
        for code in CODES
        for depth in DEPTHS
        for other in others
    }
    return decided(EachWithin(low=0)(values), means(values), "difference of cosines; > 0", n=len(SEEDS))


@stored
def gradient_error(rule: str, depth: int, beside: str = "BPTT") -> float:
    """Return the largest difference of two gradients over the largest number of the second; code `rate`, seed 0."""
    from throughtime.reports.layer_gradients import largest_difference  # imports torch
    from throughtime.reports.otpe.experiment import gradients

    by_rule = gradients("rate", depth, 0)
    return largest_difference(by_rule[rule], by_rule[beside])


@stored
def cosines(rule: str, code: Literal["time", "rate"], depth: int, seed: int) -> tuple[float, ...]:
    """Return the cosine of a rule's gradient and BPTT's for each layer, the first layer first."""
    from throughtime.reports.layer_gradients import layer_cosines  # imports torch
    from throughtime.reports.otpe.experiment import gradients

    by_rule = gradients(code, depth, seed)
    return layer_cosines(by_rule[rule], by_rule["BPTT"])
