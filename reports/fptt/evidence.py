"""Evidence for claims: what the runs of some cells of the adding task reached, and verdicts on learning from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from throughtime.records.results import Results
from throughtime.records.store import validation_metric
from throughtime.reports.fptt.adding import SUITES
from throughtime.reports.papers.verdicts import AVERAGED, Answer, Word, at_a_scale, decided
from throughtime.spec import Scale

SOLVED, UNSOLVED = 0.05, 0.14
"""MSE below which the adding task counts as learnt, and from which on as not learnt; a constant answer has 0.167."""
LONG_ENOUGH = 2203
"""Iterations after which all five of the authors' runs that became NaN had done so."""
PUBLISHED = 10_000
"""Iterations of the published curves: fewer do not show that a network fails to learn."""


class Cell(NamedTuple):
    """A cell of the suites of the adding task."""

    T: int
    rule: str
    neuron: str

    def __str__(self) -> str:
        return f"{self.rule} {self.neuron} at T = {self.T}"


class Reached(NamedTuple):
    """The runs of a cell that ended in themselves: ok, or diverged."""

    least: list[float]
    """Least mean of the validation error over `AVERAGED` iterations, of each run; infinite for a run without one."""
    diverged: list[bool]
    last: list[int]
    """Last iteration of each run at which its learning curve has a finite value; 0 without one."""

    @property
    def iterations(self) -> int:
        """Training iterations of the shortest run that did not diverge; 0 if all did."""
        return min((at for at, nan in zip(self.last, self.diverged, strict=True) if not nan), default=0)

    @property
    def is_long(self) -> bool:
        """Return whether every run was as long as the published ones, or diverged."""
        return all(self.diverged) or self.iterations >= PUBLISHED

    def __str__(self) -> str:
        return ", ".join(
            f"{mse:.2g} ({'diverged after' if nan else 'finite to'} iteration {at})"
            for mse, nan, at in zip(*self, strict=True)
        )


def least_level(curve: list[tuple[int, float]]) -> float:
    """Return the least mean over `AVERAGED` iterations of a curve of (iteration, value); ∞ if it is shorter."""
    means = [np.mean([v for at, v in curve if end - AVERAGED < at <= end]) for end, _ in curve if end >= AVERAGED]
    return float(min((mean for mean in means if math.isfinite(mean)), default=math.inf))


def reached(results: Results, cell: Cell, scale: Scale) -> Reached:
    """Return what the runs of a cell at a scale reached."""
    runs = results.select(SUITES[cell.T], scale).frame
    runs = runs[(runs["rule"] == cell.rule) & (runs["neuron"] == cell.neuron) & runs["status"].isin(("ok", "diverged"))]
    least, last = [], []
    for run in runs["id"]:
        rows = [(int(row["iteration"]), validation_metric(row, "mse")) for row in results.curve(run)]
        curve = [(at, math.nan if mse is None else mse) for at, mse in rows]
        least.append(least_level(curve))
        last.append(max((at for at, mse in curve if math.isfinite(mse)), default=0))
    return Reached(least, list(runs["status"] == "diverged"), last)


def learns(results: Results, cells: Sequence[Cell]) -> Answer:
    """Judge whether all runs of some cells learn the adding task. Too short a training refutes nothing."""

    def word(found: list[Reached]) -> tuple[Word, str]:
        if all(mse < SOLVED for cell in found for mse in cell.least):
            return "supported", f"least error over {AVERAGED} iterations < {SOLVED} in all runs"
        above = [cell for cell in found if max(cell.least) >= SOLVED]
        most = max(cell.iterations for cell in above)
        why = f"some runs are not below {SOLVED}, in {most} of {PUBLISHED} iterations"
        return "not supported" if any(cell.is_long for cell in above) else "unclear", why

    return _judged(results, cells, word)


def fails(results: Results, cells: Sequence[Cell]) -> Answer:
    """Judge whether no run of some cells learns the adding task: only a long training, or divergence, shows it."""

    def word(found: list[Reached]) -> tuple[Word, str]:
        if any(mse < SOLVED for cell in found for mse in cell.least):
            return "not supported", f"some run is below {SOLVED}"
        if any(mse < UNSOLVED for cell in found for mse in cell.least):
            return "unclear", f"some run is between {SOLVED} and {UNSOLVED}"
        if all(cell.is_long for cell in found):
            return "supported", f"all runs stay above {UNSOLVED} or diverge"
        short = min(cell.iterations for cell in found)
        return "unclear", f"all runs stay above {UNSOLVED}, in {short} of {PUBLISHED} iterations"

    return _judged(results, cells, word)


def becomes_nan(results: Results, cells: Sequence[Cell]) -> Answer:
    """Judge whether all runs of some cells diverge."""
    growth = ", ".join(f"{growth_that_overflows(cell.T):.2f} a step at T = {cell.T}" for cell in cells)

    def word(found: list[Reached]) -> tuple[Word, str]:
        diverged = [nan for cell in found for nan in cell.diverged]
        why = f"{sum(diverged)} of {len(diverged)} runs diverged; a gradient that grows by {growth} overflows"
        if all(diverged):
            return "supported", why
        short = min(cell.iterations for cell in found)
        long_enough = short >= LONG_ENOUGH
        return ("not supported" if long_enough else "unclear"), f"{why}, in at least {short} iterations"

    return _judged(results, cells, word)


def growth_that_overflows(T: int) -> float:
    """Return the growth a step by which a gradient of order 1 exceeds float32 after T steps."""
    return float(np.finfo(np.float32).max) ** (1 / T)


def both(*answers: Answer) -> Answer:
    """Return the answer to a claim with several parts: it holds if all of them do, and fails with any of them."""
    order: tuple[Word, ...] = ("not supported", "not run here", "unclear", "supported")
    word = min((answer.word for answer in answers), key=order.index)
    known = [answer.n for answer in answers if answer.n is not None]
    scales = "; ".join(dict.fromkeys(answer.scale for answer in answers if answer.scale))
    ours = "; ".join(answer.ours for answer in answers if answer.ours)
    reason = "; ".join(dict.fromkeys(answer.reason for answer in answers))
    return Answer(word, ours, reason, min(known, default=None), scales)


def _judged(results: Results, cells: Sequence[Cell], word: Callable[[list[Reached]], tuple[Word, str]]) -> Answer:
    """Judge by what the runs of all cells reached."""

    def at(scale: Scale) -> Answer | None:
        found = [reached(results, cell, scale) for cell in cells]
        if not (n := min(len(cell.least) for cell in found)):
            return None
        ours = "; ".join(f"{cell}: {what}" for cell, what in zip(cells, found, strict=True))
        verdict, reason = word(found)
        return decided(verdict, ours, reason, n, scale)

    return at_a_scale(at, f"no runs of all cells of {', '.join(dict.fromkeys(SUITES[cell.T] for cell in cells))}")
