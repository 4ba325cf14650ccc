"""Gradient alignment with BPTT in the learning curves of runs: a row for each measured point."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import KEYS, runs_of
from throughtime.reports.once import once
from throughtime.reports.plain_values import rows_of

COSINE, NORM_RATIO = "alignment_cosine", "alignment_norm_ratio"
MEASURES = {COSINE: "cosine", NORM_RATIO: "norm ratio"}
"""Prefixes of the keys in curve and record, followed by a group (`alignment_cosine.readout`), and their titles."""
HIDDEN, ALL = "hidden", "all"
MEANING = (
    "Cosine and ratio of norms between the rule's mean update, at constant weights, and BPTT's gradient of the losses "
    "that the rule reports, without truncation"
)
PARAMETERS = "all but the readout's"


@once
def alignment_points(results: Results, suite: str, scale: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of a suite and scale, and a row for each run, measured epoch and group of parameters."""
    runs = runs_of(results, suite, scale)
    recorded = [name for name in map(str, runs) if name.startswith(f"unit.{COSINE}.")]
    # A run that ended ok has in its record what its curve has: the curves of other suites need not be read.
    may_have = runs[recorded].notna().any(axis=1) | (runs["status"] != "ok")
    shared = [*KEYS, "replicate", "status"]
    rows = []
    for run in rows_of(runs.loc[may_have, ["id", *shared]]):
        for point in results.curve(run["id"]):
            names = [key.partition(".")[2] for key in point if key.startswith(f"{COSINE}.")]
            rows += [
                {
                    **{name: run[name] for name in shared},
                    "epoch": point["epoch"],
                    "group": group,
                    "headline": HIDDEN if HIDDEN in names else ALL,
                    **{measure: point.get(f"{measure}.{group}") for measure in MEASURES},
                }
                for group in names
            ]
    return runs, pd.DataFrame(rows).astype(dict.fromkeys(MEASURES, float)) if rows else pd.DataFrame()


def epochs_of(means: pd.DataFrame, place: str) -> str:
    """Format the epoch as `epoch 15` or `before training`, or as a range where cells differ."""
    epochs = sorted(set(means.loc[means["place"] == place, "epoch"]))
    if epochs == [0]:
        return "before training"
    return f"epoch {epochs[0]:g}" if len(epochs) == 1 else f"{place} epoch ({epochs[0]:g}–{epochs[-1]:g})"
