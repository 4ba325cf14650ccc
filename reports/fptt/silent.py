"""Whether the network of the adding task needs its spikes: the suite `fptt-silent` beside the networks that spike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from throughtime.records.results import Results
from throughtime.records.statistics.summary import Lean
from throughtime.reports.fptt.adding import SUITES
from throughtime.reports.fptt.evidence import EvidenceCell, first_below, reached
from throughtime.reports.fptt.registered import ALPHA, BPTT, FACTOR, PLANNED
from throughtime.reports.papers.claims import Answer, NeededSize, Values, judged, shown
from throughtime.spec import Scale

SILENT = "fptt-silent"
LEARNT = 0.1
"""Error on the validation split whose first iteration is compared."""


class Twins(NamedTuple):
    """Cells of two networks that differ in the threshold alone."""

    silent: EvidenceCell
    spiking: EvidenceCell


WINDOWS = [
    Twins(EvidenceCell(T, "none", "silent", SILENT), EvidenceCell(T, "none", "ltc_adding", ALPHA)) for T in SUITES
]
UNDER_BPTT = [Twins(EvidenceCell(200, "bptt", "silent", SILENT), EvidenceCell(200, "bptt", "ltc", BPTT))]


def needs_no_spikes(results: Results) -> Answer:
    """Judge whether the silent network learns within 1.5 times the iterations of the spiking one at each length;
    refuted if it does not at some length."""

    def holds(ratios: Sequence[float]) -> Lean:
        if any(ratio > FACTOR for ratio in ratios):
            return "against"
        return "for" if all(ratio <= FACTOR for ratio in ratios) else "neither"

    return _compared(results, WINDOWS, holds, f"silent at most {FACTOR} times spiking")


def spikes_hold_bptt_back(results: Results) -> Answer:
    """Judge whether the silent network learns in 1/1.5 of the iterations of the spiking one; refuted if it needs as
    many as that."""

    def holds(ratios: Sequence[float]) -> Lean:
        (ratio,) = ratios
        return "for" if ratio <= 1 / FACTOR else "against" if ratio >= 1 else "neither"

    return _compared(results, UNDER_BPTT, holds, f"silent at most 1/{FACTOR} of spiking", PLANNED[200])


def _compared(
    results: Results, twins: Sequence[Twins], holds: Callable[[Sequence[float]], Lean], bound: str, iterations: int = 0
) -> Answer:
    """Judge the ratios of the median first iterations with an error below 0.1 of five runs; one for each pair of twins
    that has runs. A spiking network needs a number of iterations."""

    def number(runs: Results) -> Values:
        rows: dict[str, list[float]] = {}
        for pair in twins:
            firsts = [first_below(runs, cell, LEARNT) for cell in pair]
            if all(firsts):
                rows |= {str(cell): row for cell, row in zip(pair, firsts, strict=True)}
        return rows

    def lean(values: Values) -> Lean:
        medians = [median(row) for row in values.values()]
        # Where both never learn, inf / inf is NaN, which no bound compares with.
        return holds([silent / spiking for silent, spiking in zip(medians[::2], medians[1::2], strict=True)])

    def missing(runs: Results, scale: Scale) -> str:
        absent = [f"T = {pair.silent.T}" for pair in twins if not all(first_below(runs, cell, LEARNT) for cell in pair)]
        short = [
            f"{n} of {iterations} iterations with spikes"
            for pair in twins
            if (n := reached(runs, pair.spiking).iterations) < iterations
        ]
        return "; ".join(absent + short)

    reason = f"first iteration with an error below {LEARNT}; {bound}"
    size = NeededSize(missing, lasting="against")
    return judged(results, number, lean, reason, size, 5, lambda values: shown(values, "g"))
