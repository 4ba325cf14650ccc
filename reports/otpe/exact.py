"""Cosines and differences of the rules' gradients and BPTT's."""

from __future__ import annotations

from typing import Literal

import torch

from throughtime.reports.otpe.experiment import gradients
from throughtime.reports.papers.stored import stored


@stored
def gradient_error(rule: str, depth: int, beside: str = "BPTT") -> float:
    """Return the largest difference of two gradients by the weights of the layers, over the largest number of the
    second; code `rate`, seed 0, float64."""
    by_rule = gradients("rate", depth, 0)
    ours, theirs = (torch.cat([W.flatten() for W in by_rule[name]]) for name in (rule, beside))
    return float((ours - theirs).abs().max() / theirs.abs().max())


@stored
def cosines(rule: str, code: Literal["time", "rate"], depth: int, seed: int) -> tuple[float, ...]:
    """Return the cosine of a rule's gradient and BPTT's for the weights of each layer, the first layer first."""
    by_rule = gradients(code, depth, seed)
    pairs = zip(by_rule[rule], by_rule["BPTT"], strict=True)
    return tuple(float(torch.cosine_similarity(W.flatten(), E.flatten(), 0)) for W, E in pairs)
