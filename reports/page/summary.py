"""The summary at the top of the page: the best rule of each dataset, and the verdicts on papers."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from throughtime.paper_folders import paper_folders
from throughtime.records.results import Results
from throughtime.records.statistics.interval import Interval
from throughtime.reports.best import best_rules
from throughtime.reports.cells import FAILED, KEYS, anchor, groups, neuron_label, rule_title, runs_of, summarise
from throughtime.reports.papers.paper import judge, load_paper
from throughtime.reports.papers.verdicts import VerdictRow
from throughtime.reports.quantities import quantity

COSTS = ("peak_live_bytes", "peak_process_bytes", "wall_time")
ARROWS = {"higher": "↑", "lower": "↓", "": ""}
"""Direction of improvement."""


class Best(NamedTuple):
    """A line of the summary."""

    dataset: str
    rule: str
    neuron: str
    metric: str
    """With the direction of improvement."""
    result: str
    costs: list[str]
    """In the order of the columns of costs."""
    others: str
    """Other rules on the same neuron that cannot be distinguished from the best."""
    failed: str
    """Number of runs of the dataset that failed, of all; empty if none."""
    anchor: str


class Judged(NamedTuple):
    """A paper and the verdicts on what its runs decide."""

    title: str
    link: str
    rows: list[VerdictRow]


def judged_papers(results: Results) -> list[Judged]:
    """Return the verdicts on the papers of which a suite is in the results. Targets that no run decides are left out:
    `throughtime verdicts` computes them."""
    found = []
    for name, folder in paper_folders().items():
        if folder.suites().keys() & set(results.frame["suite"]):
            paper = load_paper(name)
            targets = [target for target in paper.file.targets if target.exact is None]
            of_runs = paper._replace(file=paper.file.model_copy(update={"targets": targets}))
            found.append(Judged(paper.file.title, paper.link, judge(of_runs, results)))
    return found


def costs_of(results: Results) -> list[str]:
    """Return the costs that some run of the results has."""
    return [cost for cost in COSTS if cost in results.frame and results.frame[cost].notna().any()]


def best_of(results: Results, suite: str, scale: str, costs: list[str]) -> list[Best]:
    """Return a line for each dataset of a suite with a metric that has a direction: its best cell."""
    runs = runs_of(results, suite, scale)
    summary = summarise(runs)
    found = []
    for (dataset,), cells in groups(summary, ["dataset"]):
        known = cells[(cells["n"] > 0) & (cells["better"] != "")]
        if known.empty:
            continue
        sign = 1 if known["better"].iloc[0] == "higher" else -1
        best = known.loc[(sign * known["mean"]).idxmax()]
        alike = known[(known[["network", "neuron"]] == best[["network", "neuron"]]).all(axis=1)]
        others = [rule_title(rule) for rule in alike["rule"] if rule in best_rules(alike) - {best["rule"]}]
        kind = quantity(best["measure"], best["unit"])
        failed = int(cells[[f"n_{status}" for status in FAILED if status != "skipped"]].sum().sum())
        low, high = (None if pd.isna(best[end]) else float(best[end]) for end in ("low", "high"))
        interval = Interval(float(best["mean"]), low, high, int(best["n"]))
        found.append(
            Best(
                dataset=dataset,
                rule=rule_title(best["rule"]),
                neuron=neuron_label(best["neuron"], best["network"]),
                metric=f"{kind.label} {ARROWS[best['better']]}",
                result=kind.show_replicates(interval, best["values"]),
                costs=[_cost(runs, best, cost) for cost in costs],
                others=", ".join(others),
                failed=f"{failed} of {int(cells['runs'].sum())}" if failed else "",
                anchor=anchor(best[KEYS]),
            )
        )
    return found


def _cost(runs: pd.DataFrame, best: pd.Series, cost: str) -> str:
    here = runs[(runs[KEYS] == best[KEYS]).all(axis=1)]
    values = here[cost].dropna()
    return quantity(cost).show(values.mean()) if len(values) else "—"
