"""Verdicts of a paper: each published value and claim beside ours, with a word and a reason.

A target is a published number: of a cell of a suite, which runs reproduce, or one that a short computation gives
exactly. A claim is a statement of the paper that a function judges from results (`claims.py`). docs/verdicts.md has the
rules.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from math import fsum, inf, isfinite, nan, sqrt
from typing import Any, Literal, NamedTuple, SupportsFloat, get_args

import numpy as np
import pandas as pd
import pydantic
from pydantic import Field, NonNegativeFloat, PositiveInt

from throughtime.errors import UsageError, first_line, suggestion
from throughtime.records.results import Results, rows_with
from throughtime.records.statistics.interval import mean_interval
from throughtime.records.statistics.summary import Lean
from throughtime.records.store import validation_metric
from throughtime.reports.papers.claims import AVERAGED, FEWEST_REPLICATES, Answer, Claim, Word, written
from throughtime.reports.papers.stored import read_commits
from throughtime.spec import Scale, Strict

Match = Literal[
    "reproduced", "within interval", "both at the trivial level", "not reproduced", "unclear", "not run here"
]
"""Verdict of a target."""
NOT_LEARNT = 0.9
"""Share of the trivial error from which on a network is at the trivial level."""


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
    """If not null, the value is the metric on the test split after this epoch, or `train_loss`, the mean over it."""

    @pydantic.model_validator(mode="after")
    def _one_place(self) -> CellOf:
        if self.iteration is not None and self.epoch is not None:
            raise ValueError("a cell has either an iteration or an epoch")
        return self


class Target(Strict):
    """A published value and where ours comes from: `cell` or `exact`.

    The published value is a mean of `averaged` values with the deviation `spread`, or a single one with a `tolerance`.
    """

    item: str = Field(min_length=1)
    """What the number is, and in which figure or table."""
    published: float
    """The published value."""
    spread: NonNegativeFloat | None = None
    """Its published standard deviation."""
    averaged: PositiveInt | None = None
    """Number of values, runs or evaluations, of which the published one is the mean and `spread` the deviation."""
    tolerance: NonNegativeFloat | None = None
    """Largest difference, absolute, at which a single published value counts as reproduced; the file has the reason."""
    trivial: float | None = None
    """Error of a network that learnt nothing."""
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
        if (self.spread is None) != (self.averaged is None) or (self.spread is None) == (self.tolerance is None):
            raise ValueError("a target has either a tolerance, or spread and averaged")
        return self

    @property
    def reach(self) -> float:
        """The difference that counts as reproduced: the tolerance, or the standard error of the published mean."""
        if self.spread is None or self.averaged is None:
            return self.tolerance or 0.0
        return self.spread / sqrt(self.averaged)

    def is_trivial(self, value: float) -> bool:
        """Return whether an error is that of a network that learnt nothing."""
        return self.trivial is not None and value >= NOT_LEARNT * self.trivial


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


class VerdictRow(NamedTuple):
    """A verdict."""

    item: str
    kind: Literal["target", "exact", "claim"]
    published: str
    ours: str
    n: int | None
    interval: str
    scale: str
    """The scale of the runs."""
    verdict: Word | Match
    reason: str
    command: str
    lean: Lean | None = None
    """What the numbers of an undecided claim say."""
    needs: str = ""
    """What decides a claim: `anything`, or the size of runs."""
    missing: str = ""
    """What the runs lack of it."""
    registered: str = ""
    """When the claim's criterion was fixed, before or after its runs."""
    primary: bool = False
    """Whether this is one of the paper's primary claims."""


def judge_exact(target: Target, compute: Callable[[], float], command: str) -> VerdictRow:
    """Compare a computed number with a target; without the data that it needs, the target was not run here.

    Raises:
        UsageError: the function needs an argument, or returns no number.
    """
    published = f"{target.published:.10g}"
    _check_arguments(compute)
    try:
        value = compute()
    except UsageError as error:
        return VerdictRow(target.item, "exact", published, "", None, "", "", "not run here", first_line(error), command)
    if not isinstance(value, SupportsFloat) or np.ndim(value):
        raise wrong_type(compute, value, "a number")
    value = float(value)
    if not isfinite(value):
        raise UsageError(f"{target.exact} returns {value}", _name_and_place(compute)[1])
    off = abs(value - target.published)
    word: Match = "reproduced" if off <= target.reach else "not reproduced"
    reason = f"differs by {off:.2g}, tolerance {target.reach:.2g}"
    return VerdictRow(target.item, "exact", published, f"{value:.10g}", None, "", "", word, reason, command)


def judge_runs(target: Target, results: Results, option: str = "") -> VerdictRow:
    """Compare the runs of a cell with a target; docs/verdicts.md has the rules. `option` ends its command."""
    cell = target.cell
    assert cell is not None
    labels = ("suite", "scale", "rule", "neuron", "dataset", "network")
    cells = rows_with(results.frame, **{label: getattr(cell, label) for label in labels})
    runs = results.frame.loc[cells, ["id", "status", *_measures(cell, results.frame)]]
    values = _values(cell, runs, results)
    failed = sorted(set(runs["status"]) - {"ok", "diverged", "skipped"})
    n, ours, interval = len(values), "", ""
    if n and max(values) < inf:
        mean = mean_interval(values)
        ours, interval = f"{mean.mean:.4g}", written(mean)
    word, reason = _match(target, values)
    if failed:
        reason += f"; runs that failed: {', '.join(failed)}"
        word = word if word == "not reproduced" else "unclear"
    elif not n and len(runs):
        reason = f"no value in runs: {', '.join(sorted(set(runs['status'])))}"
        if cell.iteration is cell.epoch is None and not _measures(cell, results.frame):
            reason += f'; no run has "{cell.measure}", {suggestion(cell.measure, map(str, results.frame))}'
    elif n < (ended := int(runs["status"].isin(("ok", "diverged")).sum())):
        reason += f"; {ended - n} of {ended} runs have no value"
    published = f"{target.published:g}" + ("" if target.spread is None else f" ± {target.spread:g}")
    command = f"throughtime run {cell.suite} --scale {cell.scale}{option}"
    return VerdictRow(target.item, "target", published, ours, n or None, interval, cell.scale, word, reason, command)


def _match(target: Target, values: list[float]) -> tuple[Match, str]:
    """Return the verdict of a target on the values of runs, infinite for one that diverged, and its reason."""
    if not (n := len(values)):
        return "not run here", "no run"
    if diverged := values.count(inf):
        return "not reproduced", f"{diverged} of {n} runs diverged before"
    if n < FEWEST_REPLICATES:
        return "unclear", f"{n} of {FEWEST_REPLICATES} runs"
    if target.is_trivial(target.published) and all(map(target.is_trivial, values)):
        return "both at the trivial level", f"trivial: {target.trivial:.3g}"
    mean, low, high, _ = mean_interval(values)
    assert low is not None and high is not None
    off = abs(mean - target.published)
    if off <= target.reach:
        return "reproduced", f"differs by {off:.2g}, tolerance {target.reach:.2g}"
    reach = (high - low) / 2 + target.reach
    if off > reach:
        return "not reproduced", f"differs by {off:.2g}, interval and tolerance {reach:.2g}"
    if reach > abs(target.published - (target.trivial or 0)) / 2:
        return "unclear", f"differs by {off:.2g}, the interval of {reach:.2g} could not have failed"
    return "within interval", f"differs by {off:.2g}, interval and tolerance {reach:.2g}"


def _values(cell: CellOf, runs: pd.DataFrame, results: Results) -> list[float]:
    """Return the values of a target's measure, of the runs of its cell that have one; infinite for one that diverged
    before it."""
    values: list[float] = []
    record_values = runs[_measures(cell, runs)].astype(float).mean(axis=1)
    for run, status, value in zip(runs["id"], runs["status"], record_values, strict=True):
        if status not in ("ok", "diverged"):
            continue
        if cell.iteration is not None:
            value = level_at(results, run, cell.measure, cell.iteration)
        elif cell.epoch is not None:
            rows = [row for row in results.curve(run) if row["epoch"] == cell.epoch]
            name = cell.measure if cell.measure == "train_loss" else f"test.{cell.measure}"
            value = next((row.get(name, nan) for row in rows), nan)
        elif status == "diverged":
            value = nan
        values.append(inf if pd.isna(value) and status == "diverged" else value)
    return [value for value in values if not pd.isna(value)]


def _measures(cell: CellOf, frame: pd.DataFrame) -> list[str]:
    """Return the columns of the measures whose mean is the value of a target; none if no run has them."""
    if cell.measure.endswith(".*"):
        return [name for name in map(str, frame) if name.startswith(cell.measure[:-1])]
    return [cell.measure] if cell.measure in frame else []


def level_at(results: Results, run: str, metric: str, iteration: int) -> float:
    """Return the mean of a metric on the validation split over the `AVERAGED` iterations of a run that end with
    `iteration`; NaN if its learning curve does not cover them."""
    rows = {int(row["iteration"]): validation_metric(row, metric) for row in results.curve(run)}
    values = [
        value
        for row_iteration, value in rows.items()
        if iteration - AVERAGED < row_iteration <= iteration and value is not None
    ]
    return fsum(values) / len(values) if iteration in rows and values else nan


def verdicts(
    name: str,
    file: PaperFile,
    exact: Mapping[str, Callable[[], float]],
    claims: Iterable[Claim],
    results: Results,
    option: str = "",
) -> list[VerdictRow]:
    """Judge all targets and claims of a paper, its primary claims first; results are only read.

    Args:
        name: the paper's name, for the commands of exact targets and claims.
        file: its targets.
        exact: the functions that compute exact targets, by name; each takes seconds.
        claims: its claims.
        results: the results to judge by.
        option: the end of each command, such as ` --paper DIR`.
    """
    rows, command = [], f"throughtime verdicts {name}{option}"
    for target in file.targets:
        if target.exact is not None:
            rows.append(_with_commits(judge_exact(target, exact[target.exact], command)))
        else:
            rows.append(judge_runs(target, results, option))
    for claim in claims:
        rows.append(_with_commits(judge_claim(claim, results, command)))
    return sorted(rows, key=lambda row: not row.primary)


def _with_commits(row: VerdictRow) -> VerdictRow:
    """Return a row whose reason names the commits of the stored values that were read for it."""
    commits = ", ".join(read_commits())
    return row._replace(reason=f"{row.reason}; computed at {commits}") if commits else row


def judge_claim(claim: Claim, results: Results, command: str) -> VerdictRow:
    """Judge a claim.

    Raises:
        UsageError: its function does not take results alone, or returns no `Answer`, or one with an unknown word.
    """
    _check_arguments(claim.judge, results)
    answer = claim(results)
    if not isinstance(answer, Answer):
        raise wrong_type(claim.judge, answer, "an Answer")
    if answer.word not in (words := get_args(Word)):
        name, place = _name_and_place(claim.judge)
        raise UsageError(f'{name} returns an unknown verdict "{answer.word}"', place, suggestion(answer.word, words))
    return VerdictRow(
        item=claim.text,
        kind="claim",
        published="",
        ours=answer.ours,
        n=answer.n,
        interval=answer.interval,
        scale=answer.scale,
        verdict=answer.word,
        reason=answer.reason,
        command=command,
        lean=answer.lean,
        needs=claim.needs,
        missing=answer.missing,
        registered=claim.registered,
        primary=claim.primary,
    )


def _check_arguments(function: Callable[..., Any], *arguments: Any) -> None:
    """Refuse a function of a paper that cannot be called with these arguments."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        name, place = _name_and_place(function)
        raise UsageError(f"{name}: {error}", place) from error


def wrong_type(function: Callable[..., Any], value: object, wanted: str) -> UsageError:
    """Return the error of a function of a paper that returned a value of the wrong type."""
    name, place = _name_and_place(function)
    return UsageError(f"{name} returns a value of type {type(value).__name__}, not {wanted}", place)


def _name_and_place(function: Callable[..., Any]) -> tuple[str, str | None]:
    """Return the name of a function and its `file:line`; no place for a callable that is no function."""
    plain = inspect.unwrap(function)
    code = getattr(plain, "__code__", None)
    return getattr(plain, "__name__", repr(plain)), code and f"{code.co_filename}:{code.co_firstlineno}"
