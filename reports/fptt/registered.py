"""Claims whose rules of decision stand in their suites: which α gives the published curves, whether BPTT fails, and
whether windows alone learn under SGD."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from throughtime.records.results import Results
from throughtime.records.statistics.summary import Lean
from throughtime.reports.fptt.evidence import SOLVED, UNSOLVED, EvidenceCell, first_below, reached
from throughtime.reports.papers.claims import (
    Answer,
    EachWithin,
    NeededSize,
    Values,
    all_or_none,
    both,
    by_replicate,
    differences,
    in_common,
    judged,
    paper_scale,
    share_of,
    shown,
)
from throughtime.spec import Scale

ALPHA, BPTT, SGD = "fptt-alpha", "fptt-bptt", "fptt-sgd"
REGULARISED = {200: (151,), 500: (73,), 1000: (70, 230)}
"""Iteration of the first error below 0.1 in the published curves with the regulariser; two files at T = 1000."""
WITHOUT = {200: (21,), 500: (34,), 1000: (31,)}
"""The same in the files named v2."""
STRENGTHS = ("alpha-0.5", "alpha-0.2", "alpha-0.1", "alpha-0.05", "alpha-0.01", "none")
FACTOR = 1.5
EPOCHS = 30
"""Of `fptt-alpha`; an epoch is 10 iterations."""
PLANNED = {200: 3000, 500: 2500, 1000: 2300}
"""Iterations of BPTT in the suite `fptt-bptt`."""
PARTS, CHANCE, MARGIN = (7, 28), 10.0, 3.0
"""Parts K of the suite `fptt-sgd`, chance in percent, and points by which windows alone may be less accurate."""
FAIL, LEARN = 0.8, 0.6
"""Shares of the runs that decide: 4 of 5 that fail, 3 of 5 that end below the bound."""


def strength_of(
    results: Results,
    published: Mapping[int, tuple[int, ...]] = REGULARISED,
    strengths: tuple[str, ...] = STRENGTHS,
) -> Answer:
    """Judge whether one of some strengths gives the published curves: the median over n = 5 runs of the first iteration
    with an error below 0.1 is within a factor of 1.5 of the published one, at each length; refuted if none is.

    A length that was not run supports no strength; a strength that misses one length is refuted without the others.
    """

    def cells(runs: Results) -> dict[tuple[str, int], list[float]]:
        if (runs.select(ALPHA).frame["epochs"] < EPOCHS).any():
            return {}
        return {
            (rule, T): first_below(runs, EvidenceCell(T, rule, "ltc_adding", ALPHA), 0.1)
            for rule in strengths
            for T in published
        }

    def number(runs: Results) -> Values:
        return {f"{rule} at T = {T}": firsts for (rule, T), firsts in cells(runs).items() if firsts}

    def holds(values: Values) -> Lean:
        def near(rule: str, T: int) -> bool | None:
            if (cell := f"{rule} at T = {T}") not in values:
                return None
            ours = median(values[cell])
            return any(max(ours / theirs, theirs / ours) <= FACTOR for theirs in published[T])

        lengths = [[near(rule, T) for T in published] for rule in strengths]
        if any(all(row) for row in lengths):
            return "for"
        return "against" if all(False in row for row in lengths) else "neither"

    def missing(runs: Results, scale: Scale) -> str:
        return "; ".join(f"{rule} at T = {T}" for (rule, T), firsts in cells(runs).items() if not firsts)

    theirs = "; ".join(f"T = {T}: {' or '.join(map(str, values))}" for T, values in published.items())
    reason = f"first iteration with an error below 0.1; published {theirs}, within a factor of {FACTOR}"
    size, nothing = NeededSize(missing, lasting="against"), f"no runs of {EPOCHS} epochs"
    return judged(results, number, holds, reason, size, 5, lambda values: shown(values, "g"), nothing)


def bptt_fails(results: Results, neuron: str) -> Answer:
    """Judge whether BPTT fails with a neuron at T = 200, 500 and 1000 while windows learn, from five runs each.

    For each length: it fails if 4 of 5 runs end above 0.14 or diverge, and the windows without regulariser are below
    0.05 in all runs; it does not if 3 of 5 end below 0.14.
    """

    def cells(runs: Results) -> list[tuple[EvidenceCell, EvidenceCell]]:
        """Return the cells of BPTT and of the windows of the lengths that have runs of both."""
        pairs = [(EvidenceCell(T, "bptt", neuron, BPTT), EvidenceCell(T, "windows", neuron, BPTT)) for T in PLANNED]
        return [pair for pair in pairs if all(reached(runs, cell).end for cell in pair)]

    def number(runs: Results) -> Values:
        rows: dict[str, list[float]] = {}
        for cell, windows in cells(runs):
            rows |= {str(cell): reached(runs, cell).end, str(windows): reached(runs, windows).least}
        return rows

    def holds(values: Values) -> Lean:
        rows = [*values.values()]
        pairs = [*zip(rows[::2], rows[1::2], strict=True)]
        if any(_share(bptt, above=False) >= LEARN for bptt, _ in pairs):
            return "against"
        failed = all(_share(bptt, above=True) >= FAIL and max(windows) < SOLVED for bptt, windows in pairs)
        return "for" if failed else "neither"

    def missing(runs: Results, scale: Scale) -> str:
        iterations = {cell.T: reached(runs, cell).iterations for cell, _ in cells(runs)}
        short = [
            f"{iterations[T]} of {n} iterations at T = {T}"
            for T, n in PLANNED.items()
            if T in iterations and iterations[T] < n
        ]
        return "; ".join(short + [f"T = {T}" for T in PLANNED if T not in iterations])

    def show(values: Values) -> str:
        return "; ".join(
            f"{cell}: {', '.join(f'{mse:.2g}' for mse in row)}"
            + (f", above {UNSOLVED} in {share_of(sum(mse > UNSOLVED for mse in row), len(row))}" if is_bptt else "")
            for (cell, row), is_bptt in zip(values.items(), [True, False] * len(values), strict=False)
        )

    reason = (
        f"error at the end of BPTT, least error of windows; BPTT fails: > {UNSOLVED} or NaN, windows learn: < {SOLVED}"
    )
    return judged(results, number, holds, reason, NeededSize(missing, lasting="against"), 5, show)


def windows_suffice(results: Results) -> Answer:
    """Judge whether windows alone learn rows of MNIST under SGD, with K = 7 and 28.

    All runs without the regulariser have more than twice chance, and their accuracies less those of the same replicates
    with it have a mean above −3 points at both K; refuted if no run at some K has more than twice chance, or if one
    mean is below −3.
    """

    def accuracies(runs: Results) -> Values:
        frame = runs.select(SGD).frame
        labels = [f"{rule}-{K}" for rule in ("windows", "regularised") for K in PARTS]
        cells = {label: frame[frame["rule"] == label] for label in labels}
        return in_common({label: 100 * by_replicate(cell, "accuracy", 0.0) for label, cell in cells.items()})

    def gains(runs: Results) -> Values:
        accuracy = accuracies(runs)
        pairs = {f"K = {K}": (accuracy[f"windows-{K}"], accuracy[f"regularised-{K}"]) for K in PARTS}
        return {K: [a - b for a, b in zip(*pair, strict=True)] for K, pair in pairs.items()}

    learnt = judged(
        results,
        lambda runs: {label: row for label, row in accuracies(runs).items() if label.startswith("windows")},
        all_or_none(lambda accuracy: accuracy > 2 * CHANCE),
        f"accuracy of the windows alone, %; > {2 * CHANCE:g}",
        paper_scale(lasting="for"),
    )
    reason = f"windows alone less with the regulariser, points (* differs from 0 after Holm); each mean > −{MARGIN:g}"
    close = judged(results, gains, EachWithin(low=-MARGIN), reason, paper_scale(), show=differences)
    return both(learnt, close)


def _share(errors: Sequence[float], above: bool) -> float:
    """Return the share of errors above the bound of a network that did not learn, or below it."""
    return sum((mse > UNSOLVED) == above for mse in errors if not math.isnan(mse)) / len(errors)
