"""Claims of Yin, Corradi and Bohte 2023 that the suite `fptt` can judge at T = 200."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from throughtime.comparing.published import FEWEST, Answer
from throughtime.records.results import Results

SOLVED = 0.05
"""MSE below which the adding task counts as solved; a constant answer has 0.167."""


def learns_long_sequences(results: Results) -> Answer:
    """C1: FPTT learns the adding task with LTC neurons (T = 200)."""
    return _judge(results, lambda mse: max(mse["fptt-authors"]) < SOLVED, "fptt-authors")


def bptt_fails(results: Results) -> Answer:
    """C1: BPTT does not learn the adding task with LTC neurons (T = 200)."""
    return _judge(results, lambda mse: min(mse["bptt"]) > SOLVED, "bptt")


def regulariser_matters(results: Results) -> Answer:
    """C11: the regulariser, and not truncation alone, makes FPTT learn (T = 200)."""
    return _judge(results, lambda mse: min(mse["tbptt"]) > SOLVED > max(mse["fptt-authors"]), "tbptt", "fptt-authors")


def _judge(results: Results, holds: Callable[[dict[str, list[float]]], bool], *rules: str) -> Answer:
    """Judge a condition on the test errors of rules, at the largest scale at which all of them ran."""
    for scale in ("paper", "laptop"):
        runs = results.select("fptt", scale).frame
        # A run that diverged has not solved the task; one that failed otherwise says nothing.
        runs = runs[runs["status"].isin(("ok", "diverged"))]
        mse = {r: [float(np.nan_to_num(v, nan=np.inf)) for v in runs[runs["rule"] == r].get("mse", ())] for r in rules}
        n = min(map(len, mse.values()))
        if n:
            ours = "; ".join(f"{r}: {', '.join(f'{v:.3g}' for v in mse[r])}" for r in rules)
            if n < FEWEST:
                return Answer("unclear", ours, f"n = {n}; {FEWEST} runs are needed", n, scale)
            return Answer(
                "supported" if holds(mse) else "not supported", ours, f"test MSE; solved: < {SOLVED}", n, scale
            )
    return Answer("not run here", "", "no run of the suite fptt")


CLAIMS = (learns_long_sequences, bptt_fails, regulariser_matters)
