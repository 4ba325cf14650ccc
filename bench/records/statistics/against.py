"""Rules against one reference on one task: paired differences or shares of solved runs, with Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Literal, NamedTuple, TypeVar

from throughtime.records.statistics.interval import mean_interval
from throughtime.records.statistics.significance import holm, permutation_p, smallest_p
from throughtime.records.statistics.summary import ALPHA, student_p

Word = Literal["better", "worse", "not distinguished", "n decides nothing"]
"""What the runs say about a rule: `n decides nothing` where no outcome of so few runs could be significant."""
Key = TypeVar("Key")
Replicates = Mapping[int, float]
"""The result of each replicate that ended ok."""
FEWEST_EQUAL = 5
"""Of fewer differences that are all equal nothing is known about their spread."""
ROUNDING = 1e-12
"""Differences closer than this share of the largest result are equal: (k + 1)/40 - k/40 varies in its last bit."""
SOLVED = 0.6
"""Share of the way from chance to the perfect result that solves a task: an accuracy of 80 % where chance is 50 %."""
GAP = 0.25
"""Smallest distance, as a share of that from chance to perfect, between solved and unsolved runs of one rule that makes
results bimodal."""


class RuleComparison(NamedTuple):
    """A rule against the reference."""

    difference: float
    """Rule minus reference: of the means over common replicates, or of the shares of solved runs."""
    low: float | None
    """Student's t interval of 95 %, not corrected; None for shares, and where nothing is known about the spread."""
    high: float | None
    n: int
    """Common replicates; of shares, the smaller number of runs."""
    p: float
    """After Holm's correction over the rules."""
    word: Word


class Solved(NamedTuple):
    """When a run has solved its task."""

    bound: float
    """`SOLVED` of the way from chance to the perfect result."""
    better: str
    """Direction of improvement, `higher` or `lower`."""
    distance: float
    """Distance between the perfect result and chance."""

    def __call__(self, value: float) -> bool:
        return value >= self.bound if self.better == "higher" else value <= self.bound


def solved(better: str, unit: str, chance: float) -> Solved:
    """Return when a run has solved its task: for fractions the perfect result is 1, for errors 0."""
    perfect = 1.0 if unit == "fraction" and better == "higher" else 0.0
    return Solved(chance + SOLVED * (perfect - chance), better, abs(perfect - chance))


def is_bimodal(rules: Mapping[str, Replicates], task: Solved) -> bool:
    """Return whether some rule has solved and unsolved runs, at least `GAP` apart: a mean then describes no run."""
    for runs in rules.values():
        done = [value for value in runs.values() if task(value)]
        left = [value for value in runs.values() if not task(value)]
        if done and left and min(abs(x - y) for x in done for y in left) >= GAP * task.distance:
            return True
    return False


class RulePair(NamedTuple):
    """A rule and its reference on one task."""

    reference: Replicates
    runs: Replicates
    better: str
    """Direction of improvement of the result, `higher` or `lower`."""
    task: Solved | None = None
    """When a run is solved, for bimodal results; None: compare means."""


def compared(pairs: Mapping[Key, RulePair]) -> dict[Key, RuleComparison]:
    """Compare pairs, which are the family of Holm's correction, at a family-wise level of `ALPHA`.

    Replicates of the same number share weights and data: Student's t test of their differences. Of bimodal results, the
    exact permutation test of the shares of solved runs.

    Args:
        pairs: at least one result of each side.
    """
    comparisons = {key: _shares(*pair) if pair.task else _means(*pair) for key, pair in pairs.items()}
    corrected = holm([p for _, p, _ in comparisons.values()])
    least = holm([smallest for *_, smallest in comparisons.values()])  # after the correction, if all others had theirs
    return {
        key: comparison._replace(p=p, word=_word(comparison.difference, p, pairs[key].better, hopeless=best > ALPHA))
        for (key, (comparison, _, _)), p, best in zip(comparisons.items(), corrected, least, strict=True)
    }


def against(
    reference: Replicates, rules: Mapping[str, Replicates], better: str, task: Solved | None = None
) -> dict[str, RuleComparison]:
    """Compare the rules of one task with a reference; see `compared` and `RulePair`."""
    return compared({rule: RulePair(reference, runs, better, task) for rule, runs in rules.items()})


def _word(difference: float, p: float, better: str, hopeless: bool) -> Word:
    if p <= ALPHA:
        return "better" if (difference > 0) == (better == "higher") else "worse"
    return "n decides nothing" if hopeless else "not distinguished"


def _means(reference: Replicates, runs: Replicates, *_: object) -> tuple[RuleComparison, float, float]:
    """Return the comparison, its p, and the smallest p that so many replicates could have."""
    rows = [runs[replicate] - reference[replicate] for replicate in sorted(runs.keys() & reference.keys())]
    rounding = ROUNDING * max(map(abs, [*runs.values(), *reference.values()]))
    if len(rows) < 2 or (max(rows) - min(rows) <= rounding and len(rows) < FEWEST_EQUAL):
        difference = fmean(rows) if rows else fmean(runs.values()) - fmean(reference.values())
        least = 1.0 if len(rows) < 2 or difference else 0.0  # equal results are not distinguished, whatever n is
        return RuleComparison(difference, None, None, len(rows), 1.0, "not distinguished"), 1.0, least
    interval = mean_interval(rows, 1 - ALPHA)
    return RuleComparison(*interval, p=1.0, word="not distinguished"), student_p(rows), 0.0


def _shares(
    reference: Replicates, runs: Replicates, better: str, task: Solved | None
) -> tuple[RuleComparison, float, float]:
    """Return the same for the shares of solved runs."""
    assert task is not None
    base, new = ([float(task(value)) for value in side.values()] for side in (reference, runs))
    difference = sum(new) / len(new) - sum(base) / len(base)
    comparison = RuleComparison(difference, None, None, min(len(base), len(new)), 1.0, "not distinguished")
    return comparison, permutation_p(base, new), smallest_p(len(base), len(new))
