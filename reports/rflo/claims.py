"""Claims of Murray 2019, judged from the suite `rflo`."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from throughtime.comparing.published import Answer
from throughtime.records.results import Results

LEARNT = 4e-3
"""Mean squared error below which the target counts as learnt: 2e-3 in the notebook's ½ mean(err²); untrained 0.66."""


def all_learn(results: Results) -> Answer:
    """Every run of BPTT and of RFLO learns the periodic target."""
    return _judge(results, lambda bptt, rflo: max(*bptt, *rflo) < LEARNT, f"learnt: < {LEARNT:g}")


def as_good(results: Results) -> Answer:
    """RFLO ends within a factor of 10 of BPTT."""
    return _judge(results, lambda bptt, rflo: median(rflo) < 10 * median(bptt), "of the medians")


def _judge(results: Results, holds: Callable[[list[float], list[float]], bool], reason: str) -> Answer:
    runs = results.select("rflo", "laptop").frame
    runs = runs[runs["status"] == "ok"]
    bptt, rflo = ([float(v) for v in runs[runs["rule"] == rule].get("mse", ())] for rule in ("bptt", "rflo"))
    n = min(len(bptt), len(rflo))
    if not n:
        return Answer("not run here", "", "no run of both rules of the suite rflo")
    ours = "; ".join(f"{r}: {', '.join(f'{v:.2g}' for v in mse)}" for r, mse in (("bptt", bptt), ("rflo", rflo)))
    if n < 5:
        return Answer("unclear", ours, f"n = {n}; 5 runs are needed", n, "laptop")
    return Answer("supported" if holds(bptt, rflo) else "not supported", ours, f"test error; {reason}", n, "laptop")


CLAIMS = (all_learn, as_good)
