"""Comparison of three methods to measure the memory of a run: exact count, allocator, process."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups, neuron_label, one_line, rule_title, runs_of, slug
from throughtime.reports.plain_values import rows_of
from throughtime.reports.quantities import significant
from throughtime.reports.table import Entry, Table

EXACT, ALLOCATOR, PROCESS = "exact", "peak_allocator_bytes", "peak_process_bytes"
ON_DEVICE = "peak_cuda_allocated_bytes"
"""Measure of runs whose tensors are on a GPU, and so not in the memory of the process."""
WAYS = {EXACT: "exact", ALLOCATOR: "allocator", PROCESS: "process"}
OF_EXACT = ("peak_live_bytes", "peak_live_bytes.input", "peak_live_bytes.parameters")
CELL = ["suite", "scale", "dataset", "steps", "batch", "network", "neuron", "rule"]


def three_ways(results: Results) -> pd.DataFrame:
    """Compare three measurements of each cell's peak above model and input, at its longest sequence.

    Args:
        results: of any suites.

    Returns:
        A row for each cell that has the exact count and one of the others: `CELL`, with the dataset's registered name;
        `exact` (the exact peak less input and parameters); the other two, their ratios to it (`<way>_over_exact`), and
        `allocator_less_exact`; in bytes. NaN where a value is missing.
    """
    columns = [*CELL, *WAYS, f"{ALLOCATOR}_over_exact", f"{PROCESS}_over_exact", "allocator_less_exact"]
    data = runs_of(results).reindex(columns=[*CELL, "dataset_name", *OF_EXACT, ALLOCATOR, PROCESS, ON_DEVICE])
    data[PROCESS] = data[PROCESS].where(data[ON_DEVICE].isna())
    data = data[data[[*OF_EXACT]].notna().all(axis=1) & data[[ALLOCATOR, PROCESS]].notna().any(axis=1)]
    if data.empty:
        return pd.DataFrame(columns=columns)
    data = data.assign(
        dataset=data["dataset_name"],
        exact=data[OF_EXACT[0]] - data[OF_EXACT[1]] - data[OF_EXACT[2]],
    )
    alike = data.groupby([name for name in CELL if name != "steps"], sort=False)["steps"]
    data = data[(data["steps"] == alike.transform("max")) | data["steps"].isna()]
    for way in (ALLOCATOR, PROCESS):
        data[f"{way}_over_exact"] = data[way] / data[EXACT]
    data["allocator_less_exact"] = data[ALLOCATOR] - data[EXACT]
    return data[columns].reset_index(drop=True)


def tables(results: Results) -> list[Table]:
    """Return a table for each suite and scale whose runs were measured by more than one method."""
    return [_table(suite, scale, rows) for (suite, scale), rows in groups(three_ways(results), ["suite", "scale"])]


def _table(suite: str, scale: str, rows: pd.DataFrame) -> Table:
    head = ["dataset, T, batch", "neuron", "rule", *[f"{way} (B)" for way in WAYS.values()]]
    head += ["allocator less exact (B)", "allocator / exact", "process / exact"]
    lines = []
    for _, row in rows.iterrows():
        T = "" if pd.isna(row["steps"]) else f", {row['steps']:.0f}"
        labels = [
            f"{row['dataset']}{T}, {row['batch']}",
            neuron_label(row["neuron"], row["network"]),
            rule_title(row["rule"]),
        ]
        numbers = [_bytes(row[way]) for way in (*WAYS, "allocator_less_exact")]
        ratios = [_ratio(row[f"{way}_over_exact"]) for way in (ALLOCATOR, PROCESS)]
        lines.append([Entry(text) for text in (*map(one_line, labels), *numbers, *ratios)])
    caption = [
        f"Suite {suite}, scale {scale}: the peak of memory while a rule trains, over the level with model and input in "
        "memory, in three ways; each cell at its longest sequence.",
        "Exact: live tensors counted by storage, less input and parameters. Allocator: memory allocated by PyTorch's "
        "allocator, from its own events. Process: growth of the process's peak.",
        "Allocator less exact: 8 bytes for each number that autograd saves, and internal memory of kernels; "
        "negative where autograd adds gradients in place, which the exact count's mode prevents. Process "
        "less allocator: Python's and autograd's objects, pages that the C library keeps, and the kernel's rounding.",
    ]
    name, title = f"{slug(suite)}-{scale}-three-ways", f"Three ways to measure one run: {suite}, {scale}"
    return Table(name, title, caption, head, lines, [], rows_of(rows))


def _bytes(value: float) -> str:
    return "—" if pd.isna(value) else f"{value:,.0f}"


def _ratio(value: float) -> str:
    """Format a ratio with five digits near 1, where its difference from 1 matters, and else with three."""
    return "—" if pd.isna(value) else significant(value, 5 if abs(value - 1) < 0.01 else 3)
