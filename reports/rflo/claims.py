"""Claims of Murray 2019, judged from the suite `rflo`."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from throughtime.records.results import Results
from throughtime.reports.papers.verdicts import Answer, at_a_scale, decided, errors
from throughtime.spec import Scale

LEARNT = 4e-3
"""Mean squared error below which the target counts as learnt: 2e-3 in the notebook's ½ mean(err²); untrained 0.66."""


def all_learn(results: Results) -> Answer:
    """Every run of BPTT and of RFLO learns the periodic target."""
    return _judge(results, lambda bptt, rflo: max(*bptt, *rflo) < LEARNT, f"learnt: < {LEARNT:g}")


def as_good(results: Results) -> Answer:
    """RFLO ends within a factor of 10 of BPTT."""
    return _judge(results, lambda bptt, rflo: median(rflo) < 10 * median(bptt), "of the medians")


def _judge(results: Results, holds: Callable[[list[float], list[float]], bool], reason: str) -> Answer:
    def at(scale: Scale) -> Answer | None:
        runs = results.select("rflo", scale).frame
        bptt, rflo = (errors(runs[runs["rule"] == rule], "mse") for rule in ("bptt", "rflo"))
        if not (n := min(len(bptt), len(rflo))):
            return None
        ours = "; ".join(f"{r}: {', '.join(f'{v:.2g}' for v in mse)}" for r, mse in (("bptt", bptt), ("rflo", rflo)))
        return decided(holds(bptt, rflo), ours, f"test error; {reason}", n, scale, fewest=5)

    return at_a_scale(at, "no run of both rules of the suite rflo")


CLAIMS = (all_learn, as_good)
