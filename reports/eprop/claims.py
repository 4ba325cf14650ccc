"""Claims of Bellec et al. 2020 on the two tasks, judged from the learning curves of the suites."""

from __future__ import annotations

import math

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups
from throughtime.reports.eprop.curves import EVIDENCE, LARGEST_ERROR, MOST_ITERATIONS, PATTERN, curves
from throughtime.reports.papers.verdicts import Answer, at_a_scale, decided, errors
from throughtime.spec import Scale

LEARNT = 0.1
"""Share of the error of a constant answer below which the curve counts as learnt; our choice."""


def random_feedback_accumulates(results: Results) -> Answer:
    """e-prop with random feedback has at most 7 % of wrong decisions within 500 iterations of evidence accumulation."""
    return _stops(results, "eprop-random")


def symmetric_feedback_accumulates(results: Results) -> Answer:
    """e-prop with symmetric feedback has at most 7 % of wrong decisions within 500 iterations of the same task."""
    return _stops(results, "eprop-symmetric")


def bptt_accumulates(results: Results) -> Answer:
    """BPTT has at most 7 % of wrong decisions within 500 iterations of evidence accumulation."""
    return _stops(results, "bptt")


def random_feedback_generates(results: Results) -> Answer:
    """e-prop with random feedback learns pattern generation: error below a tenth of the variance (our measure)."""

    def at(scale: Scale) -> Answer | None:
        runs = results.select(PATTERN, scale).frame
        runs = runs[runs["rule"] == "eprop-random"]
        if not (mse := errors(runs, "mse")):
            return None
        shares = [value / runs["chance"].max() for value in mse]
        ours = f"error / variance: {', '.join(f'{share:.3g}' for share in shares)}"
        return decided(max(shares) < LEARNT, ours, f"after the last iteration; learnt: < {LEARNT}", len(shares), scale)

    return at_a_scale(at, f"no run of the suite {PATTERN}")


def _stops(results: Results, rule: str) -> Answer:
    def at(scale: Scale) -> Answer | None:
        data = curves(results, EVIDENCE, scale)
        first = [_first_below(run) for _, run in groups(data[data["rule"] == rule], ["run"])]
        if not first:
            return None
        ours = f"iterations: {', '.join(f'{i:g}' if i < math.inf else 'not reached' for i in first)}"
        reason = f"first epoch of 10 iterations with a share of wrong decisions of at most {LARGEST_ERROR}"
        return decided(max(first) <= MOST_ITERATIONS, ours, reason, len(first), scale)

    return at_a_scale(at, f"no run of {rule} in the suite {EVIDENCE}")


def _first_below(run: pd.DataFrame) -> float:
    """Return the first iteration of a run with an error of at most `LARGEST_ERROR`; infinity if there is none."""
    return min(run.loc[run["value"] <= LARGEST_ERROR, "iteration"], default=math.inf)


CLAIMS = (
    random_feedback_accumulates,
    symmetric_feedback_accumulates,
    bptt_accumulates,
    random_feedback_generates,
)
