"""Gradients of online rules in stacks of linear recurrent units beside BPTT's."""

from __future__ import annotations

from throughtime.reports.papers.stored import stored


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
