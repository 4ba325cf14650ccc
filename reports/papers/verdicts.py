"""Verdicts of a paper: each published value and claim beside ours, with a word and a reason.

A target is a published number: of a cell of a suite, which runs reproduce, or one that a short computation gives
exactly. A claim is a statement of the paper that a function judges from results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import fsum, inf, nan
from typing import Literal, NamedTuple

import pandas as pd
import pydantic
from pydantic import Field, NonNegativeFloat, PositiveInt

from throughtime.errors import UsageError, first_line
from throughtime.records.results import Results
from throughtime.records.statistics.interval import mean_interval
from throughtime.records.store import validation_metric
from throughtime.spec import Scale, Strict

Word = Literal["supported", "not supported", "unclear", "not run here"]
"""Verdict of a claim."""
Match = Literal["reproduced", "within interval", "not reproduced", "not run here"]
"""Verdict of a target."""
FEWEST = 3
"""Smallest n whose interval can decide `within interval`."""
AVERAGED = 100
"""Training iterations over which a learning curve is averaged."""


class CellOf(Strict):
    """The cell whose runs reproduce a target, by the labels of its suite."""

    suite: str
    rule: str
    neuron: str
    dataset: str
    network: str = "recurrent"
    measure: str
    """Name of the measure; with `iteration` or `epoch`, of a metric of the learning curve. `firing_rate.*` is the mean
    of all measures whose names begin with `firing_rate.`: those of the layers."""
    scale: Scale
    iteration: PositiveInt | None = None
    """If not null, the value is the mean of the metric on the validation split over the `AVERAGED` iterations that end
    with this one."""
    epoch: PositiveInt | None = None
    """If not null, the value is the metric on the test split after this epoch."""

    @pydantic.model_validator(mode="after")
    def _one_place(self) -> CellOf:
        if self.iteration is not None and self.epoch is not None:
            raise ValueError("a cell has either an iteration or an epoch")
        return self


class Target(Strict):
    """A published value and where ours comes from: `cell` or `exact`."""

    item: str = Field(min_length=1)
    """What the number is, and in which figure or table."""
    published: float
    """The published value."""
    spread: NonNegativeFloat | None = None
    """Its published standard deviation."""
    tolerance: NonNegativeFloat
    """Largest difference, absolute, at which our mean counts as reproduced."""
    source: str = Field(min_length=1)
    """Where the value was published or how it was derived."""
    cell: CellOf | None = None
    """The runs that reproduce it."""
    exact: str | None = None
    """Name of the function of the paper's `exact.py` that computes it."""

    @pydantic.model_validator(mode="after")
    def _one_origin(self) -> Target:
        if (self.cell is None) == (self.exact is None):
            raise ValueError("a target has either a cell or exact")
        return self


class PaperFile(Strict):
    """The file `targets.yaml` of a paper."""

    title: str
    """Authors, year and title."""
    doi: str | None = None
    """Digital object identifier, without the address."""
    url: str | None = None
    """Address, for a paper without a DOI."""
    curves: list[str] = Field([])
    """Suites of the paper whose learning curves its page shows, beside its own figures."""
    targets: list[Target] = Field([])


class Answer(NamedTuple):
    """The answer of a claim's function."""

    word: Word
    ours: str
    """The numbers that decide."""
    reason: str
    n: int | None = None
    scale: str = ""


def decided(word: Word | bool, ours: str, reason: str, n: int, scale: str, fewest: int = FEWEST) -> Answer:
    """Return an answer, which is unclear if it has fewer runs than it needs.

    Args:
        word: the verdict of enough runs, or whether the claim holds.
        ours: the numbers that decide.
        reason: what they are, and what they must be.
        n: runs of the cell that has the fewest.
        scale: their scale.
        fewest: runs that are enough.
    """
    if n < fewest:
        return Answer("unclear", ours, f"n = {n}; {fewest} runs of each are needed", n, scale)
    if not isinstance(word, str):
        word = "supported" if word else "not supported"
    return Answer(word, ours, reason, n, scale)


def errors(runs: pd.DataFrame, metric: str) -> list[float]:
    """Return the error of each run that ended in itself: its metric if it is ok, infinity if it diverged."""
    ended = runs[runs["status"].isin(("ok", "diverged"))].reindex(columns=["status", metric])
    return [float(value) for value in ended[metric].where(ended["status"] == "ok", inf)]


def at_a_scale(judge: Callable[[Scale], Answer | None], nothing: str) -> Answer:
    """Return the answer at the largest scale that has `FEWEST` runs of each cell, else at the largest that has any.

    Args:
        judge: the answer at a scale; None without runs.
        nothing: the reason if there is no run at any scale.
    """
    found = [answer for scale in ("paper", "laptop") if (answer := judge(scale)) is not None]
    enough = [answer for answer in found if answer.n is not None and answer.n >= FEWEST]
    return next(iter(enough + found), Answer("not run here", "", nothing))


class Row(NamedTuple):
    """A verdict."""

    item: str
    kind: Literal["target", "exact", "claim"]
    published: str
    ours: str
    n: int | None
    interval: str
    scale: str
    verdict: Word | Match
    reason: str
    command: str


def judge_exact(target: Target, compute: Callable[[], float], command: str) -> Row:
    """Compare a computed number with a target; without the data that it needs, the target was not run here."""
    published = f"{target.published:.10g}"
    try:
        value = compute()
    except UsageError as error:
        return Row(target.item, "exact", published, "", None, "", "", "not run here", first_line(error), command)
    off = abs(value - target.published)
    word: Match = "reproduced" if off <= target.tolerance else "not reproduced"
    reason = f"differs by {off:.2g}, tolerance {target.tolerance:g}"
    return Row(target.item, "exact", published, f"{value:.10g}", None, "", "", word, reason, command)


def judge_runs(target: Target, results: Results) -> Row:
    """Compare the runs of a cell with a target.

    The verdict is `reproduced` if the mean lies within the tolerance; otherwise `within interval` if n is at least
    `FEWEST` and the 95 % t interval of our mean, widened by the published spread, contains the published value. Failed
    runs have no value; the reason counts them.
    """
    cell = target.cell
    assert cell is not None
    command = f"throughtime run {cell.suite} --scale {cell.scale}"
    published = f"{target.published:g}" + ("" if target.spread is None else f" ± {target.spread:g}")

    def row(ours: str, n: int | None, interval: str, word: Match, reason: str) -> Row:
        return Row(target.item, "target", published, ours, n, interval, cell.scale, word, reason, command)

    runs = results.frame
    for column in ("suite", "scale", "rule", "neuron", "dataset", "network"):
        runs = runs[runs[column] == getattr(cell, column)]
    values = _values(cell, runs, results)
    if not len(values):
        statuses = ", ".join(sorted(set(runs["status"])))
        return row(
            "", len(runs) or None, "", "not run here", f"no value in runs: {statuses}" if len(runs) else "no run"
        )
    mean, low, high, n = mean_interval(values)
    interval = "" if low is None or high is None else f"[{low:.3g}, {high:.3g}]"
    off = abs(mean - target.published)
    word: Match = "not reproduced"
    if off <= target.tolerance:
        word, why = "reproduced", f"tolerance {target.tolerance:g}"
    elif low is None or high is None or n < FEWEST:
        why = f"n = {n} decides little"
    else:
        reach = (high - low) / 2 + (target.spread or 0)
        word, why = ("within interval" if off <= reach else word), f"interval and spread {reach:.2g}"
    without = "" if n == len(runs) else f"; {len(runs) - n} of {len(runs)} runs have no value"
    return row(f"{mean:.4g}", n, interval, word, f"differs by {off:.2g}, {why}{without}")


def _values(cell: CellOf, runs: pd.DataFrame, results: Results) -> pd.Series:
    """Return the values of a target's measure, of the runs of its cell that have one."""
    curved = runs[runs["status"].isin(("ok", "diverged"))]["id"]  # a run that diverged later counts
    found: list[float | None]
    if cell.iteration is not None:
        found = [level_at(results, run, cell.measure, cell.iteration) for run in curved]
    elif cell.epoch is not None:
        rows = [row for run in curved for row in results.curve(run) if row["epoch"] == cell.epoch]
        found = [row.get(f"test.{cell.measure}") for row in rows]
    else:
        parts = cell.measure.endswith(".*")
        names = [name for name in map(str, runs) if name.startswith(cell.measure[:-1])] if parts else [cell.measure]
        found = list(runs.loc[runs["status"] == "ok"].reindex(columns=names).mean(axis="columns"))
    return pd.Series(found, dtype=float).dropna()


def level_at(results: Results, run: str, metric: str, iteration: int) -> float:
    """Return the mean of a metric on the validation split over the `AVERAGED` iterations of a run that end with
    `iteration`; NaN if its learning curve does not cover them."""
    rows = {int(row["iteration"]): validation_metric(row, metric) for row in results.curve(run)}
    values = [value for at, value in rows.items() if iteration - AVERAGED < at <= iteration and value is not None]
    return fsum(values) / len(values) if iteration in rows and values else nan


def verdicts(
    name: str,
    file: PaperFile,
    exact: Mapping[str, Callable[[], float]],
    claims: Iterable[Callable[[Results], Answer]],
    results: Results,
) -> list[Row]:
    """Judge all targets and claims of a paper; results are only read.

    Args:
        name: the paper's name, for the command of exact targets.
        file: its targets.
        exact: the functions that compute exact targets, by name; each takes seconds.
        claims: functions that answer a claim; the first line of a docstring is its text.
        results: the results to judge by.
    """
    rows = []
    for target in file.targets:
        if target.exact is not None:
            rows.append(judge_exact(target, exact[target.exact], f"throughtime verdicts {name}"))
        else:
            rows.append(judge_runs(target, results))
    for claim in claims:
        text = (claim.__doc__ or claim.__name__).strip().splitlines()[0].removesuffix(".")
        word, ours, reason, n, scale = claim(results)
        rows.append(Row(text, "claim", "", ours, n, "", scale, word, reason, f"throughtime verdicts {name}"))
    return rows
