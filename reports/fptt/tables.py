"""Tables of Yin, Corradi and Bohte 2023: BPTT and FPTT side by side with what their runs needed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from throughtime.records.results import Results, rows_with
from throughtime.reports.cells import runs_of
from throughtime.reports.fptt.adding import SUITES as ADDING
from throughtime.reports.papers.paper import PaperTable

LTC = ("ltc", "ltc_adding", "ltc_smnist")
COMPARED = {
    **dict.fromkeys(ADDING.values(), ("fptt-authors", "fptt-authors-none")),
    "fptt-frames": ("fptt",),
    "fptt-sequences": ("fptt-10", "fptt"),
    "fptt-static": ("fptt",),
    "fptt-gestures": ("fptt",),
}
"""Rules that are set beside `bptt`, by suite."""
HEAD = ("data", "neuron", "rule", "passes", "updates", "seconds", "result", "processor")
TITLE = "Passes over the data, updates and seconds"
CAPTION = (
    "BPTT / FPTT, one number where they agree. Seconds: training and evaluation, fastest to slowest run on the "
    "processor named, beside other runs. Result: mean accuracy or mean squared error on the test split, last epoch."
)


class Budget(NamedTuple):
    """Costs and result of the runs of a cell; a range where runs differ."""

    passes: str
    updates: str
    seconds: str
    result: str
    processor: str


def side_by_side(results: Results, scale: str) -> PaperTable | None:
    """Set passes over the data, updates and seconds of BPTT and FPTT side by side, for each cell of FPTT with LTC that
    has a cell of BPTT of the same suite; None without one."""
    rows = []
    for suite, rules in COMPARED.items():
        runs = runs_of(results, suite, scale)
        runs = runs[runs["neuron"].isin(LTC)]
        for dataset, neuron in dict.fromkeys(zip(runs["dataset"], runs["neuron"], strict=True)):
            cells = {rule: _budget(results, runs, dataset, neuron, rule) for rule in ("bptt", *rules)}
            if (theirs := cells.pop("bptt")) is None:
                continue
            name = suite.removeprefix("fptt-") if dataset == "adding" else dataset
            rows += [
                [name, neuron, rule, *(_beside(*pair) for pair in zip(theirs, ours, strict=True))]
                for rule, ours in cells.items()
                if ours is not None
            ]
    return PaperTable(TITLE, HEAD, rows, CAPTION) if rows else None


def _budget(results: Results, runs: pd.DataFrame, dataset: str, neuron: str, rule: str) -> Budget | None:
    """Return the budget of a cell; None if no run has a learning curve."""
    cell = runs[rows_with(runs, dataset=dataset, neuron=neuron, rule=rule)]
    last = [curve[-1] for run in cell["id"] if (curve := results.curve(run))]
    if not last:
        return None
    metric = str(cell["metric"].iloc[0])
    values = cell.loc[cell["status"] == "ok", metric].astype(float)
    mean = float(np.mean(values)) if len(values) else float("nan")
    result = f"{100 * mean:.1f} %" if metric == "accuracy" else f"{mean:.2g}"
    failed = f" ({len(values)} of {len(cell)})" if len(values) < len(cell) else ""
    processors = dict.fromkeys(results.record(run).machine["processor"] for run in cell["id"])
    passes, updates, seconds = (_range([row[name] for row in last]) for name in ("epoch", "updates", "seconds"))
    return Budget(passes, updates, seconds, result + failed, ", ".join(processors))


def _range(values: list[float]) -> str:
    low, high = round(min(values)), round(max(values))
    return f"{low}" if low == high else f"{low}–{high}"


def _beside(bptt: str, fptt: str) -> str:
    return bptt if bptt == fptt else f"{bptt} / {fptt}"


TABLES = {"side-by-side": side_by_side}
