"""Cosines and differences of the rules' gradients and BPTT's."""

from __future__ import annotations

from typing import Literal

from throughtime.reports.papers.stored import stored


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
