"""The cells of a suite, from the journal of its sweeps: reports do not call an excluded cell missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from throughtime.errors import UsageError
from throughtime.records.journal import read_journal
from throughtime.records.store import JOURNAL
from throughtime.reports.cells import groups
from throughtime.spec import cell_label

PlannedLabels = dict[tuple[str, str], set[str]]
"""Labels of a suite's cells by suite and scale; no entry without a journal."""


def planned_cells(runs: pd.DataFrame) -> PlannedLabels:
    """Return the cells of the suites in a frame of runs, for suites and scales of which a sweep left its journal."""
    planned: PlannedLabels = {}
    for (suite, scale), part in groups(runs, ["suite", "scale"]):
        try:
            began = read_journal(Path(part["folder"].iloc[0]).parent / JOURNAL).began
        except (OSError, UsageError):  # results copied from another machine may lack a journal
            continue
        cells: dict[str, list[str]] = {str(name): labels for name, labels in began.other_scales.items()}
        if began.scale:
            cells[began.scale] = began.cells()
        if scale in cells:
            planned[suite, scale] = set(cells[scale])
    return planned


def is_excluded(planned: PlannedLabels, suite: str, scale: str, cell: tuple[str, str, str, str]) -> bool:
    """Return whether a suite is known to lack a cell (labels of rule, neuron, network, dataset)."""
    cells = planned.get((suite, scale))
    return cells is not None and cell_label(*cell) not in cells
