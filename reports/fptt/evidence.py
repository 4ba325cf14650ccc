"""Evidence of the adding task: what the runs of some cells reached, and verdicts on learning from it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from throughtime.records.results import Results, rows_with
from throughtime.records.store import validation_metric
from throughtime.reports.fptt.adding import SUITES
from throughtime.reports.papers.claims import AVERAGED, Answer, NeededSize, Values, all_or_none, judged, share_of
from throughtime.spec import Scale

SOLVED, UNSOLVED = 0.05, 0.14
"""MSE below which the adding task counts as learnt, and from which on as not learnt; a constant answer has 0.167."""
LONG_ENOUGH = 2203
"""Iterations after which all five of the authors' runs that became NaN had done so."""
PUBLISHED = 10_000
"""Iterations of the published curves: fewer do not show that a network fails to learn."""


class EvidenceCell(NamedTuple):
    """A cell of the adding task: of the suite of its length, or of one with several lengths."""

    T: int
    rule: str
    neuron: str
    suite: str = ""

    def __str__(self) -> str:
        return f"{self.rule} {self.neuron} at T = {self.T}"


class Reached(NamedTuple):
    """The runs of a cell that finished or diverged (not killed or timed out)."""

    least: list[float]
    """Least mean of the validation error over `AVERAGED` iterations, of each run; infinite for a run without one."""
    end: list[float]
    """The same mean over the last iterations; infinite for a run that diverged or has fewer iterations."""
    diverged: list[bool]
    last: list[int]
    """Last iteration of each run at which its learning curve has a finite value; 0 without one."""

    @property
    def iterations(self) -> int:
        """Training iterations of the shortest run that did not diverge; `PUBLISHED` if all did."""
        return min(
            (iteration for iteration, nan in zip(self.last, self.diverged, strict=True) if not nan), default=PUBLISHED
        )


def reached(results: Results, cell: EvidenceCell) -> Reached:
    """Return what the runs of a cell reached."""
    least, end, diverged, last = [], [], [], []
    for curve, failed in _curves(results, cell):
        levels = levels_of(curve)
        least.append(min(filter(math.isfinite, levels), default=math.inf))
        end.append(levels[-1] if levels and not failed else math.inf)
        diverged.append(failed)
        last.append(max((iteration for iteration, mse in curve if math.isfinite(mse)), default=0))
    return Reached(least, end, diverged, last)


def first_below(results: Results, cell: EvidenceCell, bound: float) -> list[float]:
    """Return the first iteration of each run of a cell with a validation error below a bound; infinity if none."""
    return [
        min((iteration for iteration, mse in curve if mse < bound), default=math.inf)
        for curve, _ in _curves(results, cell)
    ]


def ended_runs(results: Results, cell: EvidenceCell) -> pd.DataFrame:
    """Return id, label, replicate and status of the runs of a cell that finished or diverged."""
    wanted = {"suite": cell.suite or SUITES[cell.T], "rule": cell.rule, "neuron": cell.neuron}
    wanted |= {"dataset": f"adding-{cell.T}"} if cell.suite else {}
    ended = results.frame["status"].isin(("ok", "diverged"))
    return results.frame.loc[rows_with(results.frame, **wanted) & ended, ["id", "label", "replicate", "status"]]


@functools.lru_cache(maxsize=64)  # the value of a claim and what it lacks read the same cells
def _curves(results: Results, cell: EvidenceCell) -> list[tuple[list[tuple[int, float]], bool]]:
    """Return the curve of (iteration, validation error) of each run of a cell, and whether the run diverged."""
    runs = ended_runs(results, cell)
    curves = []
    for run, status in zip(runs["id"], runs["status"], strict=True):
        rows = [(int(row["iteration"]), validation_metric(row, "mse")) for row in results.curve(run)]
        curves.append(
            ([(iteration, math.nan if mse is None else mse) for iteration, mse in rows], status == "diverged")
        )
    return curves


def levels_of(curve: Sequence[tuple[int, float]]) -> list[float]:
    """Return the means over `AVERAGED` iterations of a curve of (iteration, value); none if the curve is shorter.

    A mean is NaN if one of its values is not finite.
    """
    iterations, values = np.array(curve, dtype=float).reshape(-1, 2).T
    wrong = ~np.isfinite(values)
    sums, faults = (np.cumsum([0.0, *column]) for column in (np.where(wrong, 0.0, values), wrong))
    first = np.searchsorted(iterations, iterations - AVERAGED, side="right")
    last = np.arange(1, len(iterations) + 1)
    means = np.where(faults[last] == faults[first], (sums[last] - sums[first]) / (last - first), np.nan)
    return [float(mean) for mean in means[iterations >= AVERAGED]]


def learns(results: Results, cells: Sequence[EvidenceCell]) -> Answer:
    """Judge whether some cells learn the adding task: all runs of each; refuted if no run of some cell does, after as
    many iterations as the published curves have."""

    def missing(runs: Results, scale: Scale) -> str:
        levels = [reached(runs, cell) for cell in cells]
        above = [cell for cell in levels if max(cell.least) >= SOLVED]
        never = [cell for cell in above if min(cell.least) >= SOLVED]
        return _lacking(max((cell.iterations for cell in never or above), default=PUBLISHED), PUBLISHED)

    return judged(
        results,
        lambda runs: _least(runs, cells),
        all_or_none(lambda mse: mse < SOLVED),
        f"least error over {AVERAGED} iterations; learnt: < {SOLVED}",
        NeededSize(missing, lasting="for"),
        show=_counted,
        nothing=_nothing(cells),
    )


def fails(results: Results, cells: Sequence[EvidenceCell]) -> Answer:
    """Judge whether some cells do not learn the adding task: no run of any, after as many iterations as the published
    curves have, or divergence; refuted if all runs of some cell learn."""

    def missing(runs: Results, scale: Scale) -> str:
        return _lacking(min(reached(runs, cell).iterations for cell in cells), PUBLISHED)

    return judged(
        results,
        lambda runs: _least(runs, cells),
        all_or_none(lambda mse: mse >= UNSOLVED, lambda mse: mse < SOLVED),
        f"least error over {AVERAGED} iterations; not learnt: >= {UNSOLVED}, learnt: < {SOLVED}",
        NeededSize(missing, lasting="against"),
        show=_counted,
        nothing=_nothing(cells),
    )


def becomes_nan(results: Results, cells: Sequence[EvidenceCell]) -> Answer:
    """Judge whether all runs of some cells diverge; refuted if no run of some cell does in `LONG_ENOUGH` iterations."""
    growth = ", ".join(f"{growth_that_overflows(cell.T):.2f} a step at T = {cell.T}" for cell in cells)

    def missing(runs: Results, scale: Scale) -> str:
        return _lacking(min(reached(runs, cell).iterations for cell in cells), LONG_ENOUGH)

    return judged(
        results,
        lambda runs: {str(cell): [float(nan) for nan in reached(runs, cell).diverged] for cell in cells},
        all_or_none(bool),
        f"runs that diverge; a gradient that grows by {growth} overflows",
        NeededSize(missing, lasting="for"),
        show=lambda values: "; ".join(
            f"{cell}: {share_of(int(sum(row)), len(row))} diverged" for cell, row in values.items()
        ),
        nothing=_nothing(cells),
    )


def growth_that_overflows(T: int) -> float:
    """Return the growth a step by which a gradient of order 1 exceeds float32 after T steps."""
    return float(np.finfo(np.float32).max) ** (1 / T)


def _least(runs: Results, cells: Sequence[EvidenceCell]) -> Values:
    return {str(cell): reached(runs, cell).least for cell in cells}


def _lacking(iterations: int, needed: int) -> str:
    return "" if iterations >= needed else f"{iterations} of {needed} iterations"


def _counted(values: Values) -> str:
    """Write the errors of each cell, and the share of runs that have learnt the task."""
    return "; ".join(
        f"{cell}: {', '.join(f'{mse:.2g}' for mse in row)}, "
        f"learnt in {share_of(sum(mse < SOLVED for mse in row), len(row))}"
        for cell, row in values.items()
    )


def _nothing(cells: Sequence[EvidenceCell]) -> str:
    return f"no runs of all cells of {', '.join(dict.fromkeys(cell.suite or SUITES[cell.T] for cell in cells))}"
