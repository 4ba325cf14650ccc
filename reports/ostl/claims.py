"""Claims of Bohnstingl et al. 2022 on the JSB chorales, judged with the suites `ostl` and `ostl_identity`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

import pandas as pd

from throughtime.errors import UsageError, first_line
from throughtime.records.results import Results
from throughtime.reports.ostl import exact
from throughtime.reports.papers.verdicts import Answer, at_a_scale, decided
from throughtime.spec import Scale

EQUAL = 1e-5
"""Largest difference of two curves that count as equal, in nat a step: some hundred roundings of float32 at 10."""
NEAR = 0.15
"""Largest distance to the published curve: order of the sequences and initial weights are not those of the source."""
LEVEL = (8.55, 8.80)
EPOCHS = (5, 10, 20, 50, 100)
Curves = dict[str, dict[int, pd.Series]]
"""The NLL on the test split by epoch, of each replicate of each rule."""


def published() -> pd.DataFrame:
    """Return the published curves: columns epoch, bptt, ostl."""
    with resources.files("throughtime.published").joinpath("ostl_jsb.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def curves(results: Results, suite: str, scale: str) -> Curves:
    """Return the test curves of a suite's runs that are ok."""
    runs = results.select(suite, scale).frame
    found: Curves = {}
    for _, run in runs[runs["status"] == "ok"].iterrows():
        rows = {row["epoch"]: row["test.nll"] for row in results.curve(run["id"]) if "test.nll" in row}
        found.setdefault(run["rule"], {})[run["replicate"]] = pd.Series(rows, dtype=float)
    return found


def one_gradient(results: Results) -> Answer:
    """OSTL with H has the loss of BPTT after each epoch, for one layer."""
    theirs = float((published()["ostl"] - published()["bptt"]).abs().max())
    reason = f"bound {EQUAL:g} in float32; the published curves differ by {theirs:.2g}"

    def at(scale: Scale) -> Answer | None:
        of = curves(results, "ostl_identity", scale)
        ostl, bptt = of.get("ostl", {}), of.get("bptt", {})
        if not (both := sorted(ostl.keys() & bptt.keys())):
            return None
        largest = max(float((ostl[replicate] - bptt[replicate]).abs().max()) for replicate in both)
        ours = f"largest difference {largest:.2g} after {min(len(ostl[replicate]) for replicate in both)} epochs"
        return decided(largest <= EQUAL, ours, reason, len(both), scale, fewest=1)

    return at_a_scale(at, "no pair of runs of the suite ostl_identity")


def needs_H(results: Results) -> Answer:
    """Without H the rule is another: the loss differs from that of BPTT."""
    try:
        without, with_H = exact.identity(with_H=False), exact.identity()
    except UsageError as error:
        return Answer("not run here", "", first_line(error))
    ours = f"largest difference {without:.2g}, with H {with_H:.2g}"
    return Answer("supported" if without > 1e-3 > with_H else "not supported", ours, "float64, 8 chorales")


def level(results: Results) -> Answer:
    """BPTT ends at the published level, between 8.55 and 8.80 nat a step after 100 epochs."""
    low, high = LEVEL
    reason = f"after 100 epochs; the published run ends at {published()['bptt'].iloc[-1]:.3f}"
    return _judged(results, lambda curve: float(curve[100]), lambda nll: low <= nll <= high, reason)


def step_size(results: Results) -> Answer:
    """The step size of the released notebook, 5e-4, gives the published curve."""
    theirs = published().set_index("epoch")["bptt"]
    reason = f"largest distance at epochs {', '.join(map(str, EPOCHS))}; bound {NEAR}"
    distance = lambda curve: max(abs(float(curve[epoch]) - theirs[epoch]) for epoch in EPOCHS)  # noqa: E731
    return _judged(results, distance, lambda off: off <= NEAR, reason, "bptt-5e-4")


def _judged(
    results: Results,
    number: Callable[[pd.Series], float],
    holds: Callable[[float], bool],
    reason: str,
    rule: str | None = None,
) -> Answer:
    """Judge whether a number of each learning curve of the suite `ostl` fulfils a condition.

    Args:
        results: the results.
        number: of a curve; a KeyError if training was too short for it.
        holds: the condition.
        reason: what the number is.
        rule: the rule whose runs decide; None: all.
    """

    def at(scale: Scale) -> Answer | None:
        of = curves(results, "ostl", scale)
        if not of or rule not in (None, *of):
            return None
        n = min(len(each) for name, each in of.items() if rule in (None, name))
        try:
            found = {name: [number(curve) for curve in each.values()] for name, each in of.items()}
        except KeyError as epoch:
            return Answer("unclear", "", f"a run has no epoch {epoch}", n, scale)
        ours = "; ".join(f"{name}: {', '.join(f'{value:.3f}' for value in each)}" for name, each in found.items())
        word = all(holds(value) for name, each in found.items() if rule in (None, name) for value in each)
        return decided(word, ours, reason, n, scale)

    return at_a_scale(at, f"no run of {rule or 'BPTT'} in the suite ostl")


CLAIMS = (one_gradient, needs_H, level, step_size)
