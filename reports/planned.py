"""The cells of a suite, from the journal of its last sweep: a cell that the suite excludes is not a missing run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from throughtime.errors import UsageError
from throughtime.records.store import JOURNAL
from throughtime.reports.cells import groups
from throughtime.running.journal import read_journal
from throughtime.spec import cell_label

Planned = dict[tuple[str, str], set[str]]
"""Suite and scale -> labels of the cells that the suite has; without an entry where no journal says so."""


def planned_cells(runs: pd.DataFrame) -> Planned:
    """Return the cells of the suites in a frame of runs, as far as their last sweeps were at the scale of the runs."""
    planned: Planned = {}
    for (suite, scale), part in groups(runs, ["suite", "scale"]):
        try:
            began = read_journal(Path(part["folder"].iloc[0]).parent / JOURNAL).began
        except (OSError, UsageError):  # results of another machine may come without a journal
            continue
        if began.scale == scale:
            planned[suite, scale] = {label.rpartition(" #")[0] for _, label, _ in began.runs}
    return planned


def is_excluded(planned: Planned, suite: str, scale: str, cell: tuple[str, str, str, str]) -> bool:
    """Return whether a suite is known not to have a cell (labels of rule, neuron, network, dataset)."""
    cells = planned.get((suite, scale))
    return cells is not None and cell_label(*cell) not in cells
