"""Claims of Murray 2019, judged from the suite `rflo`."""

from __future__ import annotations

from math import log10

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    Answer,
    Values,
    Within,
    all_or_none,
    by_rule,
    claim,
    judged,
    means,
    shown,
    trained,
)

LEARNT = 4e-3
"""Mean squared error below which the target counts as learnt: 2e-3 in the notebook's ½ mean(err²); untrained 0.66."""
TRAINED = trained("rflo", 20)
"""Epochs of 500 trials: the 10 000 trials of the notebook."""
NEEDS = "10 000 trials, n = 5"
REGISTERED = "criterion before the runs: 6ca6456, 2026-11-26; statistics after them: 2026-11-28"
FEWEST_REPLICATES = 5


@claim(NEEDS, REGISTERED, primary=True)
def all_learn(results: Results) -> Answer:
    """BPTT and RFLO learn the periodic target.

    Summary: the error of each run on the test split. Criterion: below 4e-3 in all of n >= 5 runs of both rules; refuted
    if in none of one rule.
    """
    holds = all_or_none(lambda mse: mse < LEARNT)
    return judged(results, _errors, holds, f"test error; learnt: < {LEARNT:g}", TRAINED, FEWEST_REPLICATES, _shown)


@claim(NEEDS, REGISTERED, primary=True)
def as_good(results: Results) -> Answer:
    """RFLO ends within a factor of 10 of BPTT.

    Summary: log10 of the error of RFLO over that of BPTT, mean over n >= 5 replicates. Criterion: below 1.
    """

    def ratio(runs: Results) -> Values:
        errors = _errors(runs)
        pairs = zip(*errors.values(), strict=True) if len(errors) == 2 else ()
        return {"log10(RFLO / BPTT)": [log10(rflo / bptt) for bptt, rflo in pairs]}

    return judged(results, ratio, Within(high=1.0), "ratio of the test errors; < 1", TRAINED, FEWEST_REPLICATES, means)


def _errors(runs: Results) -> Values:
    """Return the errors of the replicates that both rules have."""
    return by_rule(runs.select("rflo").frame, ("bptt", "rflo"), "mse")


def _shown(values: Values) -> str:
    return shown(values, ".2g")
