"""Losses of NEST's reference tests of e-prop, by iteration; `experiment.py` computes all of a test at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from throughtime.reports.eprop.experiment import ITERATIONS, evidence_accumulation, pattern_generation


def _loss(losses: Callable[[], tuple[float, ...]], iteration: int) -> float:
    return losses()[iteration]


def _by_iteration(losses: Callable[[], tuple[float, ...]]) -> list[Callable[[], float]]:
    return [partial(_loss, losses, n) for n in range(ITERATIONS)]


pattern_1, pattern_2, pattern_3, pattern_4, pattern_5 = _by_iteration(pattern_generation)
evidence_1, evidence_2, evidence_3, evidence_4, evidence_5 = _by_iteration(partial(evidence_accumulation, 1))
pair_1, pair_2, pair_3, pair_4, pair_5 = _by_iteration(partial(evidence_accumulation, 2))
