"""The difference of e-prop's gradient by scans over blocks from that of the rule `eprop`."""

from __future__ import annotations

from throughtime.reports.papers.stored import stored


@stored
def gradient_error(neuron: str, block: int, carried: bool = True) -> float:
    """Return the largest difference of the gradients of W, R and bias over the largest number of e-prop's, float64."""
    from throughtime.reports.hypr.experiment import gradients
    from throughtime.reports.layer_gradients import largest_difference  # imports torch

    by_scan, by_eprop = gradients(neuron, block, carried)
    return largest_difference([by_scan], [by_eprop])
