"""Rules against the length T of a sequence: share of solved runs, exact memory, time, and the best rule for a budget.

The suites `length` and `length-updates` have the trained networks, and the suite `length-cost` the bytes and times of
the same networks.
"""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.summary import share
from throughtime.registry import DATASETS
from throughtime.reports.cells import groups, rule_rank, runs_of
from throughtime.spec import ComponentSpec, RunSpec

SOLVED = 0.8
"""A run is solved from this accuracy on; the suite states it."""
ENDED = ("ok", "diverged")
"""Status of runs that count."""
BUDGETS = {"256 kB": 256e3, "8 MB": 8e6, "8 GB": 8e9}
"""Memory of a microcontroller, of a larger one with external memory, and of a small computer, in bytes."""
COSTS = {"bytes": "peak_live_bytes_streamed", "time": "time_over_bptt"}
PANEL = ["task", "neuron"]
COLUMNS = [*PANEL, "rule", "T", "n", "batches", "solved", "share", "low", "high", "accuracy", "bytes", "time"]
MAP_COLUMNS = [*PANEL, "T", "budget", "rule", "accuracy", "loss", "n", "state"]
FEWEST_LENGTHS = 3
COSTS_OF_LENGTH = {("length", "paper"), ("length-updates", "laptop"), ("length-updates", "paper")}
"""Suites and scales whose networks are those of `length` at scale laptop."""


def length_cells(results: Results, suite: str, scale: str) -> pd.DataFrame:
    """Summarise each rule at each length.

    Args:
        results: of the suite; its costs (`cost_runs`) are read from the same folder if they were run.
        suite: a suite of tasks whose lengths vary and whose metric is an accuracy.
        scale: one of its scales.

    Returns:
        A row for each task (a dataset's registered name), neuron, rule and T with a run of either suite: `n` runs that
        ended `ok` or `diverged`, each of at most so many `batches` of sequences; `solved` of them and their `share`,
        with Clopper and Pearson's interval `low`, `high`;
        median `accuracy`, where a diverged run counts as 0; `bytes`, the exact peak with the input streamed; `time`
        over BPTT's; both of the rule with this label or with the same options. What was not run is NaN, or n = 0.
        Empty if no task has three lengths.
    """
    measured = _costs(results, suite, scale)
    if not _has_lengths(results.select(suite, scale), measured):
        return pd.DataFrame(columns=COLUMNS)
    trained, costs = _with_lengths(results, suite, scale), _with_lengths(measured, *cost_runs(suite, scale))
    rows: dict[tuple[str, str, str, int], dict[str, float]] = {}
    for (task, neuron, rule, T), cell in groups(trained, ["dataset_name", "neuron", "rule", "T"]):
        accuracy = accuracies(cell)
        if len(accuracy):
            solved = int((accuracy >= SOLVED).sum())
            interval = share(solved, len(accuracy))
            rows[task, neuron, rule, int(T)] = {
                **{"n": interval.n, "batches": cell["batches"].max(), "solved": solved, "share": interval.mean},
                **{"low": interval.low or 0.0, "high": 1.0 if interval.high is None else interval.high},
                "accuracy": float(accuracy.median()),
            }
    by = ["dataset_name", "neuron", "T", "computation"]
    labels = trained.groupby(by)["rule"].unique().to_dict() if len(trained) else {}
    for key, cell in groups(costs, by):
        task, neuron, T, _ = key
        row = {name: cell[measure].mean() if measure in cell else math.nan for name, measure in COSTS.items()}
        if (cell["rule_name"] == "bptt").all():
            row["time"] = 1.0
        for rule in {*cell["rule"], *labels.get(key, ())}:
            rows.setdefault((task, neuron, rule, int(T)), {}).update(row)
    cells = pd.DataFrame([{**dict(zip([*PANEL, "rule", "T"], key, strict=True)), **row} for key, row in rows.items()])
    cells = cells.reindex(columns=COLUMNS).fillna({"n": 0})
    cells = cells[cells.groupby(PANEL)["T"].transform("nunique") >= FEWEST_LENGTHS]
    ranks = cells["rule"].map({rule: rule_rank(rule) for rule in set(cells["rule"])})
    order = sorted(range(len(cells)), key=lambda i: (*cells.iloc[i][PANEL], ranks.iloc[i], cells.iloc[i]["T"]))
    return cells.iloc[order].reset_index(drop=True)


def cost_runs(suite: str, scale: str) -> tuple[str, str]:
    """Return suite and scale of the runs that have the costs of a suite's networks."""
    return ("length-cost", "laptop") if (suite, scale) in COSTS_OF_LENGTH else (f"{suite}-cost", scale)


def _costs(results: Results, suite: str, scale: str) -> Results:
    """Return the runs that have the costs of a suite's networks, read from the folder if the results lack them."""
    name, scale = cost_runs(suite, scale)
    runs = results.select(name, scale)
    return Results(results.folder, [name]).select(name, scale) if runs.frame.empty else runs


def accuracies(cell: pd.DataFrame) -> pd.Series:
    """Return the accuracies of the runs that ended `ok` or `diverged`, 0 of the latter; empty for another metric."""
    ended = cell[cell["status"].isin(ENDED)]
    if set(ended["metric"].dropna()) != {"accuracy"}:
        return pd.Series(dtype=float)
    return ended["accuracy"].where(ended["status"] == "ok", 0.0)


def _has_lengths(trained: Results, costs: Results) -> bool:
    """Return whether some dataset has three labels among the runs that count: reports of other suites need no torch."""
    frame = pd.concat([trained.frame[trained.frame["metric"] == "accuracy"], costs.frame])
    labels = frame.groupby("dataset_name")["dataset"].nunique()
    return bool((labels >= FEWEST_LENGTHS).any())


def _with_lengths(results: Results, suite: str, scale: str) -> pd.DataFrame:
    """Return the runs on generated tasks with the columns `T`, `batches`, their greatest number, and `computation`: the
    rule with its options but those of null, which records from before an option was added lack."""
    runs = runs_of(results, suite, scale)
    runs = runs[runs["dataset_name"].map(_is_generated).astype(bool)].reset_index(drop=True)
    specs = [results.record(run).spec for run in runs["id"]]
    lengths = [sequence_length(spec.dataset) for spec in specs]
    options = ({name: value for name, value in spec.rule.options.items() if value is not None} for spec in specs)
    rules = [json.dumps([spec.rule.name, chosen], sort_keys=True) for spec, chosen in zip(specs, options, strict=True)]
    return runs.assign(T=lengths, batches=[_batches(spec) for spec in specs], computation=rules)


def _batches(spec: RunSpec) -> float:
    sequences = spec.dataset.options.get("sequences", math.nan)
    return float(spec.training.epochs * -(-sequences // spec.training.batch))


def sequence_length(dataset: ComponentSpec) -> int | None:
    """Return T of a dataset by its options; None for data on disk without an option `steps`."""
    if "steps" in dataset.options:
        return int(dataset.options["steps"])
    return _steps(dataset.name, json.dumps(dataset.options)) if _is_generated(dataset.name) else None


@functools.cache
def _steps(dataset: str, options: str) -> int:
    from throughtime.harness.by_name import build_dataset

    return build_dataset(dataset, **json.loads(options)).steps


def _is_generated(dataset: str) -> bool:
    from throughtime.datasets.generated import Generated

    factory: Any = DATASETS[dataset].factory if dataset in DATASETS.names() else None
    return isinstance(factory, type) and issubclass(factory, Generated)


def budget_map(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the best rule for each task, neuron, T and memory budget.

    Args:
        cells: the rows of `length_cells`.

    Returns:
        A row for each combination: `rule`, the one of the highest median accuracy among those whose exact bytes fit the
        budget, of equal ones that of the fewest bytes; its `accuracy` and `n`; `loss`, the accuracy of the best rule at
        any memory minus its own; `state`: `run`; `none solves`, where the median accuracy of no rule, or of none that
        fits, is that of a solved run; `not run`, where no rule was trained at this T, or none of those that fit; `none
        fits`, where bytes of all rules are known and exceed the budget; `not measured`, where the bytes of a more
        accurate rule are unknown.
    """
    rows = []
    for (task, neuron, T), group in groups(cells, [*PANEL, "T"]):
        trained = group[group["n"] > 0]
        unmeasured = trained.loc[trained["bytes"].isna(), "accuracy"].max()
        for budget, limit in BUDGETS.items():
            fitting = trained[trained["bytes"] <= limit].sort_values(["accuracy", "bytes"], ascending=[False, True])
            row: dict[str, Any] = {"task": task, "neuron": neuron, "T": T, "budget": budget}
            if (group["bytes"] > limit).all():
                row["state"] = "none fits"
            elif trained["accuracy"].max() < SOLVED:
                row["state"] = "none solves"
            elif pd.notna(unmeasured) and not unmeasured <= fitting["accuracy"].max():  # the maximum of none is NaN
                row["state"] = "not measured"
            elif fitting.empty:
                row["state"] = "not run"
            elif fitting["accuracy"].max() < SOLVED:
                row["state"] = "none solves"
            else:
                best = fitting.iloc[0]
                row |= {"state": "run", "rule": best["rule"], "accuracy": best["accuracy"], "n": int(best["n"])}
                row["loss"] = group["accuracy"].max() - best["accuracy"]
            rows.append(row)
    return pd.DataFrame(rows, columns=MAP_COLUMNS)
