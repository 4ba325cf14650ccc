"""Claims of Baronig et al. 2025 that an identity decides."""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.reports.papers.claims import ANYTHING, Answer, claim, decided
from throughtime.reports.papers.stored import stored

REGISTERED = "bound before the computation, claims after its first run: 2026-11-28"
NEURONS = ("lif", "alif", "brf")
BLOCKS = (1, 7, 25, 60)
"""Steps of a block, of 60."""
EQUAL, DIFFERENT = 1e-10, 1e-3
"""Relative differences of gradients that count as none, and as one."""


@claim(ANYTHING, REGISTERED, primary=True)
def is_eprop(results: Results) -> Answer:
    """The gradient of a scan over the steps of a block, its traces carried from block to block, is that of e-prop.

    Summary: largest difference of the gradients over the largest number, LIF, ALIF and BRF with recurrent weights,
    blocks of 25 of 60 steps, float64. Criterion: at most 1e-10, and above 1e-3 if the traces are not carried.
    """
    same = {neuron: gradient_error(neuron, 25) for neuron in NEURONS}
    forgotten = min(gradient_error(neuron, 25, carried=False) for neuron in NEURONS)
    ours = ", ".join(f"{neuron} {error:.2g}" for neuron, error in same.items())
    holds = max(same.values()) <= EQUAL and forgotten > DIFFERENT
    return decided(
        holds, f"{ours}; not carried: {forgotten:.2g}", "relative to the largest number of e-prop's gradient"
    )


@claim(ANYTHING, REGISTERED)
def any_block(results: Results) -> Answer:
    """The gradient does not depend on the length of a block.

    Summary: largest difference from e-prop's over blocks of 1, 7, 25 and all 60 steps. Criterion: at most 1e-10.
    """
    largest = max(gradient_error(neuron, block) for neuron in NEURONS for block in BLOCKS)
    return decided(largest <= EQUAL, f"{largest:.2g}", "LIF, ALIF and BRF")


@stored
def gradient_error(neuron: str, block: int, carried: bool = True) -> float:
    """Return the largest difference of the gradients of W, R and bias over the largest number of e-prop's, float64."""
    from throughtime.reports.hypr.experiment import gradients
    from throughtime.reports.layer_gradients import largest_difference  # imports torch

    by_scan, by_eprop = gradients(neuron, block, carried)
    return largest_difference([by_scan], [by_eprop])
