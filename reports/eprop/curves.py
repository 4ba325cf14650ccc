"""Learning curves of the suites of this paper, which claims and figures read."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.store import validation_metric
from throughtime.reports.cells import runs_of

EVIDENCE, PATTERN = "eprop-evidence", "eprop-pattern"
LARGEST_ERROR = 0.07
"""Error on validation at which training on evidence accumulation stops."""
MOST_ITERATIONS = 500
"""Iterations within which the authors report that it stops."""


def curves(results: Results, suite: str, scale: str | None = None) -> pd.DataFrame:
    """Return the curves of the runs that are ok or diverged, on the validation split: columns rule, run, iteration and
    value, the share of wrong decisions of evidence accumulation, or the mean squared error of pattern generation."""
    runs = runs_of(results, suite, scale)
    metric = "accuracy" if suite == EVIDENCE else "mse"
    rows = [
        {
            "rule": run["rule"],
            "run": run["label"],
            "iteration": row["iteration"],
            "value": validation_metric(row, metric),
        }
        for _, run in runs[runs["status"].isin(("ok", "diverged"))].iterrows()
        for row in results.curve(run["id"])
    ]
    data = pd.DataFrame(rows, columns=["rule", "run", "iteration", "value"]).astype({"value": float})
    if suite == EVIDENCE:
        data["value"] = 1 - data["value"]
    return data
