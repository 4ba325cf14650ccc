"""Losses of NEST's reference tests of e-prop, by iteration; `experiment.py` computes all of a test at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from throughtime.reports.papers.stored import stored

ITERATIONS = 5


@stored
def pattern_generation() -> tuple[float, ...]:
    """Return the losses of pattern generation, in a second."""
    from throughtime.reports.eprop import experiment  # imports torch

    return experiment.pattern_generation(ITERATIONS)


@stored
def evidence_accumulation(batch: int) -> tuple[float, ...]:
    """Return the mean losses of evidence accumulation with some sequences over the steps of recall, in two seconds."""
    from throughtime.reports.eprop import experiment

    return experiment.evidence_accumulation(batch, ITERATIONS)


def _loss(losses: Callable[[], tuple[float, ...]], iteration: int) -> float:
    return losses()[iteration]


def _by_iteration(losses: Callable[[], tuple[float, ...]]) -> list[Callable[[], float]]:
    return [partial(_loss, losses, n) for n in range(ITERATIONS)]


pattern_1, pattern_2, pattern_3, pattern_4, pattern_5 = _by_iteration(pattern_generation)
evidence_1, evidence_2, evidence_3, evidence_4, evidence_5 = _by_iteration(partial(evidence_accumulation, 1))
pair_1, pair_2, pair_3, pair_4, pair_5 = _by_iteration(partial(evidence_accumulation, 2))
