"""Claims of Bohnstingl et al. 2022 on the JSB chorales, judged with the suites `ostl` and `ostl_identity`."""

from __future__ import annotations

import math
from importlib import resources

import pandas as pd

from throughtime.comparing.published import FEWEST, Answer
from throughtime.errors import UsageError, first_line
from throughtime.records.results import Results
from throughtime.reports.ostl import exact

EQUAL = 1e-5
"""Largest difference of two curves that count as equal, in nat a step: some hundred roundings of float32 at 10."""
NEAR = 0.15
"""Largest distance to the published curve: order of the sequences and initial weights are not those of the source."""
LEVEL = (8.55, 8.80)
EPOCHS = (5, 10, 20, 50, 100)
SCALES = ("paper", "laptop")


def published() -> pd.DataFrame:
    """Return the published curves: columns epoch, bptt, ostl."""
    with resources.files("throughtime.published").joinpath("ostl_jsb.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def curves(results: Results, suite: str, scale: str) -> dict[str, list[pd.Series]]:
    """Return the test curves of a suite's runs that are ok, by rule: the NLL by epoch."""
    runs = results.select(suite, scale).frame
    found: dict[str, list[pd.Series]] = {}
    for _, run in runs[runs["status"] == "ok"].iterrows():
        rows = {row["epoch"]: row["test.nll"] for row in results.curve(run["id"]) if "test.nll" in row}
        found.setdefault(run["rule"], []).append(pd.Series(rows, dtype=float))
    return found


def one_gradient(results: Results) -> Answer:
    """OSTL with H has the loss of BPTT after each epoch, for one layer."""
    for scale in SCALES:
        of = curves(results, "ostl_identity", scale)
        if {"bptt", "ostl"} <= of.keys():
            pairs = list(zip(of["ostl"], of["bptt"], strict=True))
            largest = max(float((ours - exact).abs().max()) for ours, exact in pairs)
            ours = f"largest difference {largest:.2g} after {min(map(len, of['ostl']))} epochs"
            theirs = float((published()["ostl"] - published()["bptt"]).abs().max())
            reason = f"bound {EQUAL:g} in float32; the published curves differ by {theirs:.2g}"
            return Answer("supported" if largest <= EQUAL else "not supported", ours, reason, len(pairs), scale)
    return Answer("not run here", "", "no pair of runs of the suite ostl_identity")


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
    scale, of = _trained(results)
    last = {rule: [found.get(100, math.nan) for found in each] for rule, each in of.items()}
    holds = all(low <= value <= high for values in last.values() for value in values)
    return _answer(
        holds, last, f"after 100 epochs; the published run ends at {published()['bptt'].iloc[-1]:.3f}", scale
    )


def step_size(results: Results) -> Answer:
    """The step size of the released notebook, 5e-4, gives the published curve."""
    theirs = published().set_index("epoch")["bptt"]
    scale, of = _trained(results)
    off = {
        rule: [max(abs(found.get(epoch, math.inf) - theirs[epoch]) for epoch in EPOCHS) for found in each]
        for rule, each in of.items()
    }
    holds = all(value <= NEAR for value in off.get("bptt-5e-4", [math.inf]))
    return _answer(holds, off, f"largest distance at epochs {', '.join(map(str, EPOCHS))}; bound {NEAR}", scale)


def _trained(results: Results) -> tuple[str, dict[str, list[pd.Series]]]:
    """Return the largest scale at which the suite `ostl` ran, and its curves; empty without a run."""
    found = ((scale, curves(results, "ostl", scale)) for scale in SCALES)
    return next(((scale, of) for scale, of in found if of), ("", {}))


def _answer(holds: bool, values: dict[str, list[float]], reason: str, scale: str) -> Answer:
    if not values:
        return Answer("not run here", "", "no run of the suite ostl")
    ours = "; ".join(f"{rule}: {', '.join(f'{value:.3f}' for value in each)}" for rule, each in values.items())
    n = min(map(len, values.values()))
    if n < FEWEST:
        return Answer("unclear", ours, f"n = {n}; {FEWEST} runs of each are needed", n, scale)
    return Answer("supported" if holds else "not supported", ours, reason, n, scale)


CLAIMS = (one_gradient, needs_H, level, step_size)
