"""Claims of Irie, Gopalakrishnan and Schmidhuber 2024: exact gradients at diagonal cost in one layer; the copy task."""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    ANYTHING,
    Answer,
    EachWithin,
    Values,
    all_or_none,
    by_rule,
    claim,
    decided,
    judged,
    means,
    paper_scale,
)
from throughtime.reports.papers.stored import stored

REGISTERED = "before the runs: 2026-11-28"
NEEDS = "scale paper: 50 bits, 2048 cells, 500 epochs"
EQUAL, DIFFERENT = 1e-12, 1e-3
"""Relative differences of gradients that count as none, and as one."""
LEARNT = 0.999
SHORT, LONG = 100, 200
"""Steps between which the bytes of a step are counted: the rule computes blocks of 25 steps."""


@claim(ANYTHING, REGISTERED, primary=True)
def exact_in_one_layer(results: Results) -> Answer:
    """In one layer with element-wise recurrence RTRL with a trace for each synapse is BPTT.

    Summary: largest difference of the gradients over the largest number, eLSTM, 70 steps, float64. Criterion: at most
    1e-12, and above 1e-3 where cells have recurrent weights to each other.
    """
    alone, connected = gradient_error(), gradient_error(connected=True)
    ours = f"{alone:.2g}; with recurrent weights {connected:.2g}"
    holds = alone <= EQUAL and connected > DIFFERENT
    return decided(holds, ours, "relative to the largest number of BPTT's gradient")


@claim(ANYTHING, REGISTERED)
def not_exact_in_two_layers(results: Results) -> Answer:
    """In two layers it is not: the influence through the layer above needs more than a trace for each synapse.

    Summary: as in one layer, for two. Criterion: above 1e-3.
    """
    both = gradient_error(layers=2)
    return decided(both > DIFFERENT, f"{both:.2g}", "relative difference")


@claim(
    ANYTHING, f"{REGISTERED}; the target of a step, 512 bytes, is left out since the first computation", primary=True
)
def constant_memory(results: Results) -> Answer:
    """The memory of RTRL does not grow with the sequence; that of BPTT does.

    Summary: exact bytes of a further step of the copy task beside its input and target. Criterion: 0 under RTRL,
    above 0 under BPTT.
    """
    rtrl, bptt = bytes_of_a_step("rtrl"), bytes_of_a_step("bptt")
    holds = rtrl == 0 < bptt
    return decided(holds, f"RTRL {rtrl:g}, BPTT {bptt:g} bytes a step", "64 cells, batch 64")


@claim(NEEDS, REGISTERED)
def both_copy(results: Results) -> Answer:
    """RTRL and BPTT learn the copy task without error.

    Summary: accuracy of a run on the test split. Criterion: at least 99.9 % in all of n >= 3 runs of both rules;
    refuted if in none of one rule.
    """
    holds = all_or_none(lambda accuracy: accuracy >= LEARNT)
    return judged(results, _accuracies, holds, f"accuracy; learnt: {LEARNT}", paper_scale(), show=means)


@claim(ANYTHING, REGISTERED)
def same_result(results: Results) -> Answer:
    """RTRL and BPTT end at the same accuracy from the same weights and sequences.

    Summary: difference of the accuracies of a replicate in points, mean over n >= 3. Criterion: between -1 and 1; the
    gradients are equal, and rounding in float32 grows over thousands of updates.
    """

    def points(runs: Results) -> Values:
        rows = _accuracies(runs)
        pairs = zip(*rows.values(), strict=True)
        return {"RTRL - BPTT": [100 * (rtrl - bptt) for bptt, rtrl in pairs]} if len(rows) == 2 else {}

    return judged(results, points, EachWithin(-1, 1), "points", show=means)


def _accuracies(runs: Results) -> Values:
    return by_rule(runs.select("rtrl_elstm").frame, ("bptt", "rtrl"), "accuracy", diverged=0.5)


@stored
def gradient_error(layers: int = 1, connected: bool = False) -> float:
    """Return the largest difference of the gradients of diagonal RTRL and BPTT over the largest of BPTT's, for eLSTM in
    float64 with a loss at every step.

    Args:
        layers: number of layers.
        connected: whether cells of a layer have recurrent weights to each other.
    """
    from throughtime.reports.layer_gradients import largest_difference  # imports torch
    from throughtime.reports.rtrl_elstm.experiment import gradient

    rtrl, bptt = (gradient(rule, layers, connected) for rule in ("diagonal_rtrl", "bptt"))
    return largest_difference([rtrl], [bptt])


@stored
def bytes_of_a_step(rule: str) -> float:
    """Return the exact bytes that a further step of the copy task needs beside its input and target."""
    from throughtime.reports.rtrl_elstm.experiment import bytes_without_data

    short, long = (bytes_without_data(rule, steps) for steps in (SHORT, LONG))
    return (long - short) / (LONG - SHORT)
