"""Rules for a user's network: those whose exact bytes fit its memory, ranked by recorded accuracies at a near length.

Bytes are counted for the user's own sizes. Accuracies are those of runs of the suites `length` and `length-updates`, or
else `rules`, with the same neuron, at the length that is nearest to the user's on a logarithmic scale; the user's task
may rank the rules in another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from throughtime.errors import UsageError
from throughtime.measuring.training_bytes import Sizes, streamed_bytes
from throughtime.records.committed import CommittedStore
from throughtime.records.results import Results
from throughtime.registry import ALGORITHMS
from throughtime.reports.cells import groups, rule_rank
from throughtime.reports.lengths import ENDED, SOLVED, accuracies, sequence_length

SUITES = (("length", "length-updates"), ("rules",))
"""Suites whose runs are evidence: of the first entry that has the neuron."""
COLUMNS = ["rule", "options", "bytes", "fits", "solved", "accuracy", "n", "epochs", "suite", "task", "T", "missing"]


class Evidence(NamedTuple):
    """The recorded accuracies of a rule on one task."""

    name: str
    """Registered name of the rule, which its label may not be."""
    suite: str
    task: str
    T: int
    epochs: int
    """At most, in each run."""
    n: int
    """Runs that ended ok or diverged."""
    solved: int
    """Runs with an accuracy of at least `SOLVED`."""
    accuracy: float
    """Median; of a run that diverged 0."""
    options: dict[str, Any]
    """Options of the rule in these runs."""


def evidence_in(folder: Path | None) -> Results:
    """Return the runs of a folder of results; None: the committed ones of the suites `SUITES`."""
    return (
        Results(CommittedStore(), [suite for suites in SUITES for suite in suites])
        if folder is None
        else Results.load(folder)
    )


def recommendations(
    results: Results,
    steps: int,
    memory: int,
    neuron: str,
    sizes: Sizes,
    counting: Callable[[str], None] = lambda rule: None,
) -> pd.DataFrame:
    """Rank rules for the network `recurrent` of given sizes.

    Args:
        results: runs of the suites `SUITES`.
        steps: T of the user's sequences.
        memory: bytes that training may take, with the input streamed.
        neuron: name of the neuron.
        sizes: of network and batch.
        counting: called with the label of each rule before its bytes are counted.

    Returns:
        A row for each rule: `bytes`, whether it `fits`, and the evidence. Rules that fit come first, in the order of
        their share of solved runs and median accuracy, then those without evidence in the order of bytes; then those
        that do not fit; then those that cannot train the network, with the reason in `missing`. A rule has the options
        of its evidence, or else its defaults.

    Raises:
        UsageError: no such neuron, or no rule fits; the hint names the rule of the fewest bytes.
    """
    evidence = evidence_at(results, steps, neuron)
    rows = []
    for label, name, options in _candidates(evidence):
        counting(label)
        bytes_, missing = streamed_bytes((name, options), neuron, steps, sizes)
        rule_evidence = evidence.get(label)
        shown = rule_evidence._asdict() if rule_evidence else {}
        rows.append(
            {**shown, "rule": label, "options": options, "bytes": bytes_, "missing": missing}
            | {"fits": bytes_ is not None and bytes_ <= memory}
        )
    ranking = pd.DataFrame(rows, columns=COLUMNS)
    smallest = ranking.sort_values("bytes").iloc[0]
    if not ranking["fits"].any():
        raise UsageError(
            f"no rule trains this network in {memory:,} B",
            hint=f"the smallest is {smallest['rule']} with {smallest['bytes']:,.0f} B",
        )
    ranking["can"], ranking["share"] = ranking["bytes"].notna(), ranking["solved"] / ranking["n"]
    order = {"can": False, "fits": False, "share": False, "accuracy": False, "bytes": True}
    ranking = ranking.sort_values(list(order), ascending=list(order.values()), na_position="last", kind="stable")
    return ranking[COLUMNS].reset_index(drop=True)


def evidence_at(results: Results, steps: int, neuron: str) -> dict[str, Evidence]:
    """Return the evidence of each rule, by label, on the task of the nearest length; empty if there is none.

    Of several tasks of one length, the task has the most rules; of several cells of a rule on it, the cell has the most
    epochs, and of these the most runs.
    """
    for suites in SUITES:
        runs = results.frame
        runs = runs[runs["suite"].isin(suites) & (runs["neuron_name"] == neuron) & runs["status"].isin(ENDED)]
        tasks = []
        for (task,), cells in groups(runs, ["dataset"]):
            T = sequence_length(results.record(cells["id"].iloc[0]).spec.dataset)
            if T is not None and len(accuracies(cells)):
                tasks.append((abs(math.log(T / steps)), -cells["rule"].nunique(), str(task), T, cells))
        if tasks:
            _, _, _, T, runs = min(tasks, key=lambda row: row[:3])
            evidence = [_evidence(results, T, cell) for _, cell in groups(runs, ["rule", "suite", "scale"])]
            return dict(sorted(evidence, key=lambda entry: (entry[1].epochs, entry[1].n)))
    return {}


def _evidence(results: Results, T: int, cell: pd.DataFrame) -> tuple[str, Evidence]:
    first, accuracy = cell.iloc[0], accuracies(cell)
    evidence = Evidence(
        name=str(first["rule_name"]),
        suite=str(first["suite"]),
        task=str(first["dataset"]),
        T=T,
        epochs=int(first["epochs"]),
        n=len(accuracy),
        solved=int((accuracy >= SOLVED).sum()),
        accuracy=float(accuracy.median()),
        options=dict(results.record(first["id"]).spec.rule.options),
    )
    return str(first["rule"]), evidence


def _candidates(evidence: dict[str, Evidence]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield label, registered name and options of each rule: those with evidence, and all others that have defaults."""
    known = {entry.name for entry in evidence.values()}
    others = {name for name in ALGORITHMS.names() if not ALGORITHMS[name].required} - known
    for label in sorted({*evidence, *others}, key=rule_rank):
        entry = evidence.get(label)
        yield (label, entry.name, entry.options) if entry else (label, label, {})
