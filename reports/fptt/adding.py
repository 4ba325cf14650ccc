"""Learning curves of the adding task: our runs, and those that the authors published, each with the loop it is of."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.store import validation_metric
from throughtime.reports.cells import runs_of
from throughtime.reports.papers.published import published_table

SUITES = {200: "fptt-adding-200", 500: "fptt-adding-500", 1000: "fptt-adding-1000"}
"""Suite of each length T."""
CELLS = {
    "ltc_adding": "LTC",
    "ltc": "LTC with adaptation",
    "asrnn_adding": "ASRNN",
    "lstm": "LSTM",
    "rnn": "RNN",
}
LOOPS = ("bptt", "fptt-authors", "fptt-authors-none")
"""Rules that are training loops of the authors."""
TRIVIAL = 1 / 6
"""Error of a constant answer, the mean: the variance of a sum of two uniform numbers."""


def curves(results: Results, suite: str, scale: str) -> pd.DataFrame:
    """Return the learning curves of a suite: a row per run and epoch, the error on the validation split.

    Returns:
        Columns `source` (ours or published), `neuron`, `rule`, `run`, `status`, `iteration`, `updates`, `mse`.
    """
    tables = []
    for _, run in runs_of(results, suite, scale).iterrows():
        rows = results.curve(run["id"])
        labels = {"source": "ours", "neuron": run["neuron"], "rule": run["rule"], "run": run["label"]}
        numbers = {name: [int(row[name]) for row in rows] for name in ("iteration", "updates")}
        mse = pd.Series([validation_metric(row, "mse") for row in rows], dtype=float)
        tables.append(pd.DataFrame({**labels, "status": run["status"], **numbers, "mse": mse}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def published(T: int) -> pd.DataFrame:
    """Return the authors' curves of a length in the columns of `curves`: means of 10 iterations.

    A curve ends where it becomes NaN.
    """
    table = published_table(f"adding_{T}")
    long = table.melt("iteration", var_name="run", value_name="mse").dropna()
    loops = [loop_of(name) for name in long["run"]]
    # BPTT updates once an iteration, the loops with windows at nine of ten parts.
    updates = long["iteration"] * [1 if rule == "bptt" else 9 for _, rule in loops]
    named = {"neuron": [neuron for neuron, _ in loops], "rule": [rule for _, rule in loops], "updates": updates}
    return long.assign(source="published", status="ok", **named).reset_index(drop=True)


def loop_of(name: str) -> tuple[str, str]:
    """Return the neuron and the rule of a published curve, from the name of its file.

    The loop with windows that the authors have for LSTM and RNN has no regulariser. `v2` curves of spiking networks
    agree with the loop without regulariser, which their documented command runs (docs/papers/fptt.md).
    """
    net = name.split("_")[0]
    neuron = {"snn": "ltc_adding", "asrnn": "asrnn_adding"}.get(net, net)
    if "bptt" in name:
        return neuron, "bptt"
    return neuron, "fptt-authors-none" if net in ("lstm", "rnn") or f"{net}_v2_" in name else "fptt-authors"
