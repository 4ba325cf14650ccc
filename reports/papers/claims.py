"""Claims of a paper: what they need, how runs are judged, and the answer with its lean.

docs/verdicts.md has the rules. A claim is a function from Results to an Answer, marked by the decorator `claim`; most
of them call `judged` with a function from the runs of a scale to numbers, and a condition on these numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.interval import Interval, mean_interval
from throughtime.records.statistics.summary import ALPHA, Lean, differs, lean_of, mean_over_datasets, share
from throughtime.spec import Scale

Word = Literal["supported", "not supported", "unclear", "not run here"]
"""Verdict of a claim."""
WORDS: dict[Lean, Word] = {"for": "supported", "against": "not supported", "neither": "unclear"}
FEWEST_REPLICATES = 3
"""Smallest number of replicates that decides."""
AVERAGED = 100
"""Training iterations over which a learning curve is averaged."""
ANYTHING = "anything"
"""What a claim needs whose truth no size of a run can change."""
Values = Mapping[str, Sequence[float]]
"""Numbers of the replicates, by cell or dataset; infinite for a run that diverged."""


class Answer(NamedTuple):
    """The answer of a claim's function."""

    word: Word
    ours: str
    """The numbers that decide."""
    reason: str
    n: int | None = None
    """Replicates of the cell that has the fewest."""
    scale: str = ""
    interval: str = ""
    """95 % interval of the claim's summary, if that is a mean."""
    lean: Lean | None = None
    """What the numbers say where they do not decide; None for a claim that is decided or was not run."""
    missing: str = ""
    """What the runs lack of what the claim needs."""


@dataclass(frozen=True)
class Claim:
    """A claim; calling it judges results."""

    judge: Callable[[Results], Answer]
    needs: str
    """What its truth depends on: `ANYTHING`, or the size of runs that decide."""
    registered: str
    """When its criterion was fixed, and whether that was before its runs; if after, why."""
    primary: bool
    """Whether it is one of the one to three claims that the paper stands for."""

    def __call__(self, results: Results) -> Answer:
        return self.judge(results)

    @property
    def text(self) -> str:
        """The first line of the docstring."""
        return (self.judge.__doc__ or self.judge.__name__).strip().splitlines()[0].removesuffix(".")


def claim(needs: str, registered: str, primary: bool = False) -> Callable[[Callable[[Results], Answer]], Claim]:
    """Mark a function as a claim; see `Claim` for the arguments."""
    return lambda judge: Claim(judge, needs, registered, primary)


def claims_in(module: ModuleType) -> list[Claim]:
    """Return the claims that a module defines, in their order."""
    values = [value for value in vars(module).values() if isinstance(value, Claim)]
    return [value for value in values if value.judge.__module__ == module.__name__]


class NeededSize(NamedTuple):
    """Size of the runs that decide a claim, and the lean that smaller ones decide all the same."""

    missing: Callable[[Results, Scale], str]
    """What the runs of a scale lack; empty if nothing."""
    lasting: Lean | None = None
    """The lean of smaller runs that more cannot undo."""


ANY_SIZE = NeededSize(lambda results, scale: "")


def paper_scale(lasting: Lean | None = None) -> NeededSize:
    """Return the size of the paper's own setting, all of which scale `paper` has."""
    return NeededSize(lambda results, scale: "" if scale == "paper" else "no run at scale paper", lasting)


def trained(suite: str, epochs: int, lasting: Lean | None = None) -> NeededSize:
    """Return the size of runs of a suite that train for a number of epochs."""

    def missing(results: Results, scale: Scale) -> str:
        least = min(results.select(suite).frame["epochs"], default=None)
        if least is None:
            return f"no run of the suite {suite}"
        return "" if least >= epochs else f"{least} of {epochs} epochs"

    return NeededSize(missing, lasting)


@dataclass(frozen=True)
class Within:
    """The statement that the mean over datasets and replicates lies in a range."""

    low: float = -inf
    high: float = inf

    def __call__(self, values: Values) -> Lean:
        interval = self.interval(values)
        if isfinite(interval.mean):
            return lean_of(interval, self.low, self.high)
        return "against" if interval.mean < self.low or interval.mean > self.high else "neither"

    def interval(self, values: Values) -> Interval:
        """Return the interval of the mean; without ends if a run diverged."""
        mean = float(np.mean([*values.values()]))
        if isfinite(mean):
            return mean_over_datasets([*values.values()])
        return Interval(mean, None, None, min(map(len, values.values())))


@dataclass(frozen=True)
class EachWithin:
    """The statement that the mean over the replicates of each cell lies in a range; refuted with Holm's correction."""

    low: float = -inf
    high: float = inf

    def __call__(self, values: Values) -> Lean:
        if all(lean_of(mean_interval(row), self.low, self.high) == "for" for row in values.values()):
            return "for"
        level = 1 - ALPHA / len(values)
        leans = [lean_of(mean_interval(row, level), self.low, self.high) for row in values.values()]
        return "against" if "against" in leans else "neither"


def all_or_none(
    condition: Callable[[float], bool], opposite: Callable[[float], bool] | None = None
) -> Callable[[Values], Lean]:
    """Return the statement that runs fulfil a condition: `for` if each run of each cell does, `against` if each run of
    some cell fulfils the opposite, by default that the condition does not hold."""
    contrary = opposite or (lambda value: not condition(value))

    def holds(values: Values) -> Lean:
        if all(condition(value) for row in values.values() for value in row):
            return "for"
        return "against" if any(all(map(contrary, row)) for row in values.values()) else "neither"

    return holds


def shown(values: Values, digits: str = ".3g") -> str:
    """Write the numbers of each cell."""
    return "; ".join(f"{name}: {', '.join(f'{value:{digits}}' for value in row)}" for name, row in values.items())


def means(values: Values) -> str:
    """Write the mean of each cell."""
    return "; ".join(f"{name}: {float(np.mean(row)):.3g}" for name, row in values.items())


def differences(values: Values) -> str:
    """Write the mean of each row of differences; those that differ from 0, by Holm's method, have a star."""
    marks = ["*" if differ else "" for differ in differs([*values.values()])]
    rows = zip(values.items(), marks, strict=True)
    return ", ".join(f"{name}: {float(np.mean(row)):+.1f}{mark}" for (name, row), mark in rows)


def judged(
    results: Results,
    number: Callable[[Results], Values],
    holds: Callable[[Values], Lean],
    reason: str,
    size: NeededSize = ANY_SIZE,
    fewest: int = FEWEST_REPLICATES,
    show: Callable[[Values], str] = shown,
    nothing: str = "no runs of each cell",
) -> Answer:
    """Judge a condition on numbers of runs, at the largest scale with enough replicates, else the largest with any.

    Args:
        results: the results.
        number: the numbers, from the results of one scale; no values, or an empty cell, without runs.
        holds: what the numbers say.
        reason: what the numbers are, and what they must be.
        size: what runs must have to decide.
        fewest: replicates that decide.
        show: writes the numbers.
        nothing: the reason if there are no runs at any scale.
    """
    answers = []
    for scale in ("paper", "laptop"):
        runs = results.select(scale=scale)
        values = number(runs)
        if not values or not (n := min(map(len, values.values()))):
            continue
        answer = decided(holds(values), show(values), reason, n, fewest, size.missing(runs, scale), size.lasting)
        if isinstance(holds, Within):
            answer = answer._replace(interval=written(holds.interval(values)))
        answers.append(answer._replace(scale=scale))
    enough = [answer for answer in answers if answer.n is not None and answer.n >= fewest]
    return next(iter(enough + answers), Answer("not run here", "", nothing))


def decided(
    holds: Lean | bool,
    ours: str,
    reason: str,
    n: int | None = None,
    fewest: int = FEWEST_REPLICATES,
    missing: str = "",
    lasting: Lean | None = None,
) -> Answer:
    """Return the answer that numbers decide, or that leans if runs are too few or too small.

    Args:
        holds: what the numbers say; of a condition, whether it holds.
        ours: the numbers.
        reason: what they are, and what they must be.
        n: replicates; None for a computation.
        fewest: replicates that decide.
        missing: what the runs lack; empty if nothing.
        lasting: the lean that more cannot undo.
    """
    lean: Lean = holds if isinstance(holds, str) else "for" if holds else "against"
    if n is not None and n < fewest:
        few = f"{n} of {fewest} replicates"
        return Answer("unclear", ours, reason, n, lean="neither", missing="; ".join(filter(None, (few, missing))))
    if missing and lean != lasting:
        return Answer("unclear", ours, reason, n, lean=lean, missing=missing)
    word = WORDS[lean]
    return Answer(word, ours, reason, n, lean=lean if word == "unclear" else None)


def both(*answers: Answer) -> Answer:
    """Return the answer to a claim with several parts: it holds if all of them do, and fails with any of them."""
    order: tuple[Word, ...] = ("not supported", "not run here", "unclear", "supported")
    word = min((answer.word for answer in answers), key=order.index)
    leans = [answer.lean or ("for" if answer.word == "supported" else "neither") for answer in answers]
    lean: Lean = "against" if "against" in leans else "for" if set(leans) == {"for"} else "neither"
    known = [answer.n for answer in answers if answer.n is not None]
    joined = {
        field: "; ".join(dict.fromkeys(filter(None, (getattr(answer, field) for answer in answers))))
        for field in ("ours", "reason", "scale", "missing")
    }
    return Answer(word, n=min(known, default=None), lean=lean if word == "unclear" else None, **joined)


def written(interval: Interval) -> str:
    """Write an interval; empty for a single value."""
    return "" if interval.low is None or interval.high is None else f"[{interval.low:.3g}, {interval.high:.3g}]"


def share_of(count: int, n: int) -> str:
    """Write a share of runs with its exact interval, percent."""
    _, low, high, _ = share(count, n)
    return f"{count} of {n} runs (95 %: {100 * (low or 0):.0f} to {100 * (high or 0):.0f} %)"


def by_replicate(runs: pd.DataFrame, metric: str, diverged: float = inf) -> pd.Series:
    """Return a metric of the runs that finished or diverged, by replicate; `diverged` is the value of the latter."""
    runs = runs.reindex(columns=["status", "replicate", metric])  # a mask of all columns takes ten times as long
    ended = runs[runs["status"].isin(("ok", "diverged"))]
    values = ended[metric].astype(float).where(ended["status"] == "ok", diverged)
    return values.set_axis(ended["replicate"]).dropna()


def by_rule(runs: pd.DataFrame, rules: Iterable[str], metric: str, diverged: float = inf) -> Values:
    """Return a metric of rules, of the replicates that all of them have; `diverged` as in `by_replicate`."""
    runs = runs.reindex(columns=["rule", "status", "replicate", metric])
    return in_common({rule: by_replicate(runs[runs["rule"] == rule], metric, diverged) for rule in rules})


def points_between(runs: pd.DataFrame, pairs: Mapping[str, tuple[str, str]], metric: str, diverged: float) -> Values:
    """Return a fraction of the first rule of each pair less that of the second in points, of the replicates that all
    pairs have; `diverged` as in `by_replicate`."""
    rules = {rule for pair in pairs.values() for rule in pair}
    runs = runs.reindex(columns=["rule", "status", "replicate", metric])
    fractions = {rule: by_replicate(runs[runs["rule"] == rule], metric, diverged) for rule in rules}
    return in_common({name: 100 * (fractions[rule] - fractions[other]) for name, (rule, other) in pairs.items()})


def in_common(rows: Mapping[str, pd.Series]) -> Values:
    """Return series by replicate as numbers of the replicates that all of them have."""
    table = pd.DataFrame(rows).dropna()
    return {name: [float(value) for value in table[name]] for name in table}
