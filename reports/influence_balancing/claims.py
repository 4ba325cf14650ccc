"""Claims on influence balancing, judged by descent in closed form, which equals that of the package's rules."""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.records.statistics.interval import mean_interval
from throughtime.reports.influence_balancing import exact
from throughtime.reports.influence_balancing.descent import OPTIMUM, START, UPDATES, RuleName, descend, turning_window
from throughtime.reports.papers.claims import ANYTHING, Answer, claim, decided

DRAWS = 10
"""Sequences of signs of UORO."""
SHORT, LONG = (1, 5, 10, 19, 30, 40), (41, 45, 60, 100, 200)
REGISTERED = "before the computation: a777085, 2026-11-26"


@claim(ANYTHING, REGISTERED, primary=True)
def truncated_bptt(results: Results) -> Answer:
    """Truncated BPTT leaves the optimum if windows are shorter than 41 steps, and approaches it otherwise.

    Summary: the distance to θ = −1/6 after 3000 updates. Criterion: larger than at the start for each of six shorter
    windows, smaller for each of five longer ones.
    """
    return _all_or_none("tbptt")


@claim(ANYTHING, REGISTERED)
def rtrl(results: Results) -> Answer:
    """RTRL converges to θ = −1/6 with an update at every step.

    Summary: the distance after 3000 updates. Criterion: below 1e-6.
    """
    θ = descend(1, "rtrl")[-1]
    return decided(abs(θ - OPTIMUM) < 1e-6, f"θ = {θ:.7f}", f"after {UPDATES} updates")


@claim(ANYTHING, "before the computation: acee297, 2026-11-26", primary=True)
def uoro(results: Results) -> Answer:
    """UORO reaches θ = −1/6 on average, with an update at every step; single runs scatter.

    Summary: the mean of θ over n = 10 sequences of signs after 3000 updates. Criterion: its interval contains −1/6 and
    excludes the start, 0.5.
    """
    ends = [exact.uoro(seed) for seed in range(DRAWS)]
    mean, low, high, n = mean_interval(ends)
    assert low is not None and high is not None
    holds = low <= OPTIMUM <= high < START
    ours = f"θ = {mean:.3g}, runs from {min(ends):.3g} to {max(ends):.3g}"
    answer = decided(holds, ours, f"after {UPDATES} updates, {START:g} before; the interval contains −1/6", n)
    return answer._replace(interval=f"[{low:.3g}, {high:.3g}]")


@claim(ANYTHING, REGISTERED)
def fptt(results: Results) -> Answer:
    """FPTT's regulariser does not change the sign: it leaves the optimum for the same windows (our prediction).

    Summary and criterion are those of truncated BPTT.
    """
    return _all_or_none("fptt")


def _all_or_none(rule: RuleName) -> Answer:
    """Judge whether the windows of `SHORT` end further from the optimum than θ_0, and those of `LONG` nearer."""
    distance = {K: abs(descend(K, rule)[-1] - OPTIMUM) for K in (*SHORT, *LONG)}
    first = abs(START - OPTIMUM)
    wrong = [K for K in SHORT if distance[K] <= first] + [K for K in LONG if distance[K] >= first]
    ours = ", ".join(f"K = {K}: {distance[K]:.3g}" for K in (1, 40, 41, 100))
    reason = f"|θ + 1/6| after {UPDATES} updates, {first:.3g} before; the derivative turns at K = {turning_window()}"
    return decided(not wrong, ours, reason)
