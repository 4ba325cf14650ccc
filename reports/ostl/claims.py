"""Claims of Bohnstingl et al. 2022 on the JSB chorales, judged with the suites `ostl` and `ostl_identity`."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from throughtime.errors import UsageError, first_line
from throughtime.records.results import Results
from throughtime.reports.ostl import exact
from throughtime.reports.papers.claims import (
    ANYTHING,
    Answer,
    EachWithin,
    Values,
    all_or_none,
    claim,
    decided,
    judged,
    shown,
    trained,
)
from throughtime.reports.papers.published import published_table

EQUAL = 1e-5
"""Largest difference of two curves that count as equal, in nat a step: some hundred roundings of float32 at 10."""
NEAR = 0.15
"""Largest distance to the published curve: order of the sequences and initial weights are not those of the source."""
LEVEL = (8.55, 8.80)
EPOCHS = (5, 10, 20, 50, 100)
Curves = dict[str, dict[int, pd.Series]]
"""The NLL on the test split by epoch, of each replicate of each rule."""
NEEDS = "100 epochs of all chorales"
TRAINED = trained("ostl", 100)
REGISTERED = "criterion before the runs: 36f6165, 2026-11-26; statistics after them: 2026-11-28"


def published() -> pd.DataFrame:
    """Return the published curves: columns epoch, bptt, ostl."""
    return published_table("ostl_jsb")


def curves(results: Results, suite: str, scale: str | None = None) -> Curves:
    """Return the test curves of a suite's runs that are ok."""
    runs = results.select(suite, scale).frame
    by_rule: Curves = {}
    for _, run in runs[runs["status"] == "ok"].iterrows():
        rows = {row["epoch"]: row["test.nll"] for row in results.curve(run["id"]) if "test.nll" in row}
        by_rule.setdefault(run["rule"], {})[run["replicate"]] = pd.Series(rows, dtype=float)
    return by_rule


@claim(ANYTHING, REGISTERED, primary=True)
def one_gradient(results: Results) -> Answer:
    """OSTL with H has the loss of BPTT after each epoch, for one layer.

    Summary: the largest difference of the two test curves of a replicate. Criterion: at most 1e-5 nat, some hundred
    roundings of float32, in each of n >= 1 pairs of runs.
    """

    def largest(runs: Results) -> Values:
        by_rule = curves(runs, "ostl_identity")
        ostl, bptt = by_rule.get("ostl", {}), by_rule.get("bptt", {})
        both = sorted(ostl.keys() & bptt.keys())
        return {"largest difference": [float((ostl[r] - bptt[r]).abs().max()) for r in both]}

    theirs = float((published()["ostl"] - published()["bptt"]).abs().max())
    reason = f"bound {EQUAL:g} in float32; the published curves differ by {theirs:.2g}"
    return judged(results, largest, all_or_none(lambda off: off <= EQUAL), reason, fewest=1)


@claim(ANYTHING, REGISTERED)
def needs_H(results: Results) -> Answer:
    """Without H the rule is another: the loss differs from that of BPTT.

    Summary: the largest difference of the losses over 10 epochs in float64. Criterion: above 1e-3 without H, below it
    with H.
    """
    try:
        without, with_H = exact.identity(with_H=False), exact.identity()
    except UsageError as error:
        return Answer("not run here", "", first_line(error))
    ours = f"largest difference {without:.2g}, with H {with_H:.2g}"
    return decided(without > 1e-3 > with_H, ours, "float64, 8 chorales")


@claim(NEEDS, REGISTERED)
def level(results: Results) -> Answer:
    """BPTT ends at the published level, between 8.55 and 8.80 nat a step after 100 epochs.

    Summary: the mean over n >= 3 replicates, at each of two step sizes. Criterion: its interval lies between the
    bounds, at both.
    """
    reason = f"after 100 epochs; the published run ends at {published()['bptt'].iloc[-1]:.3f}"
    number = _curve_numbers(lambda curve: float(curve[100]))
    return judged(results, number, EachWithin(*LEVEL), reason, TRAINED, show=_shown)


@claim(NEEDS, REGISTERED, primary=True)
def step_size(results: Results) -> Answer:
    """The step size of the released notebook, 5e-4, gives the published curve.

    Summary: the largest distance of a run to the published curve at epochs 5, 10, 20, 50 and 100. Criterion: at most
    0.15 in all of n >= 3 runs; refuted if in none.
    """
    theirs = published().set_index("epoch")["bptt"]
    number = _curve_numbers(
        lambda curve: max(abs(float(curve[epoch]) - theirs[epoch]) for epoch in EPOCHS), "bptt-5e-4"
    )
    reason = f"largest distance at epochs {', '.join(map(str, EPOCHS))}; bound {NEAR}"
    return judged(results, number, all_or_none(lambda off: off <= NEAR), reason, TRAINED, show=_shown)


def _curve_numbers(number: Callable[[pd.Series], float], *rules: str) -> Callable[[Results], Values]:
    """Return a function that gives a number of each learning curve of the suite `ostl`, of some rules or of all; curves
    that are too short for it have none."""

    def values(runs: Results) -> Values:
        by_rule = {
            rule: by_replicate for rule, by_replicate in curves(runs, "ostl").items() if not rules or rule in rules
        }
        return {
            rule: [number(curve) for curve in by_replicate.values() if 100 in curve]
            for rule, by_replicate in by_rule.items()
        }

    return values


def _shown(values: Values) -> str:
    return shown(values, ".3f")
