"""Claims of Bellec et al. 2020 on the two tasks, judged from the learning curves of the suites."""

from __future__ import annotations

from math import inf

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups
from throughtime.reports.eprop.curves import EVIDENCE, LARGEST_ERROR, MOST_ITERATIONS, PATTERN, curves
from throughtime.reports.papers.claims import Answer, Values, all_or_none, by_replicate, claim, judged, shown, trained

LEARNT = 0.1
"""Share of the error of a constant answer below which the curve counts as learnt; our choice."""
GENERATED = 2000
"""Iterations of pattern generation in the authors' code."""
EPOCH = 10
"""Iterations of an epoch of the suites."""
REGISTERED = "before the runs: 0bb3478, 2026-11-26"


@claim(needs="500 iterations", registered=REGISTERED, primary=True)
def random_feedback_accumulates(results: Results) -> Answer:
    """e-prop with random feedback has at most 7 % of wrong decisions within 500 iterations of evidence accumulation.

    Summary: the first of every 10 iterations with a share of at most 0.07 on validation. Criterion: it exists in all of
    n >= 3 runs; refuted if in none. Fewer iterations refute nothing.
    """
    return _stops(results, "eprop-random")


@claim(needs="500 iterations", registered=REGISTERED)
def symmetric_feedback_accumulates(results: Results) -> Answer:
    """e-prop with symmetric feedback has at most 7 % of wrong decisions within 500 iterations of the same task.

    Summary, criterion and size are those of random feedback; not published.
    """
    return _stops(results, "eprop-symmetric")


@claim(needs="500 iterations", registered=REGISTERED)
def bptt_accumulates(results: Results) -> Answer:
    """BPTT has at most 7 % of wrong decisions within 500 iterations of evidence accumulation.

    Summary, criterion and size are those of random feedback, with the settings of e-prop; not published.
    """
    return _stops(results, "bptt")


@claim(needs=f"{GENERATED} iterations", registered=REGISTERED, primary=True)
def random_feedback_generates(results: Results) -> Answer:
    """e-prop with random feedback learns pattern generation: error below a tenth of the variance (our measure).

    Summary: the error after the last iteration over the variance of the target. Criterion: below 0.1 in all of n >= 3
    runs; refuted if in none. Fewer iterations refute nothing.
    """

    def number(runs: Results) -> Values:
        frame = runs.select(PATTERN).frame
        frame = frame[frame["rule"] == "eprop-random"]
        if frame.empty:
            return {}
        return {"error / variance": list(by_replicate(frame, "mse") / frame["chance"].max())}

    reason = f"after the last iteration; learnt: < {LEARNT}"
    size = trained(PATTERN, GENERATED // EPOCH, lasting="for")
    return judged(results, number, all_or_none(lambda share: share < LEARNT), reason, size)


def _stops(results: Results, rule: str) -> Answer:
    """Judge whether the runs of a rule reach the criterion at which training stops."""

    def number(runs: Results) -> Values:
        data = curves(runs, EVIDENCE)
        return {"iterations": [_first_below(run) for _, run in groups(data[data["rule"] == rule], ["run"])]}

    return judged(
        results,
        number,
        all_or_none(lambda first: first <= MOST_ITERATIONS),
        f"first epoch of {EPOCH} iterations with a share of wrong decisions of at most {LARGEST_ERROR}; inf: never",
        trained(EVIDENCE, MOST_ITERATIONS // EPOCH, lasting="for"),
        show=lambda values: shown(values, "g"),
        nothing=f"no run of {rule} in the suite {EVIDENCE}",
    )


def _first_below(run: pd.DataFrame) -> float:
    """Return the first iteration of a run with an error of at most `LARGEST_ERROR`; infinity if there is none."""
    return min(run.loc[run["value"] <= LARGEST_ERROR, "iteration"], default=inf)
