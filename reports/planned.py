"""The cells of a suite, from the journal of its sweeps: reports do not call an excluded cell missing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import cast

import pandas as pd

from throughtime.errors import UsageError
from throughtime.records.journal import read_journal
from throughtime.records.store import JOURNAL
from throughtime.reports.cells import groups
from throughtime.spec import Scale, cell_label
from throughtime.suites.schema import Exclude
from throughtime.suites.suite import exclusions

EXCLUDED = "the suite does not have this cell"
PlannedLabels = dict[tuple[str, str], set[str]]
"""Labels of a suite's cells by suite and scale; no entry without a journal."""


def planned_cells(runs: pd.DataFrame) -> PlannedLabels:
    """Return the cells of the suites in a frame of runs, for suites and scales of which a sweep left its journal."""
    planned: PlannedLabels = {}
    for (suite, scale), part in groups(runs[["suite", "scale", "folder"]], ["suite", "scale"]):
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


@functools.cache
def _patterns(suite: str, scale: Scale) -> list[Exclude]:
    try:
        return exclusions(suite, scale)
    except UsageError:  # a suite of a file, or one that is not installed here
        return []


def exclusion(planned: PlannedLabels, suite: str, scale: str, cell: tuple[str, str, str, str]) -> str:
    """Return that a suite leaves out a cell (labels of rule, neuron, network, dataset), and why; empty if it has the
    cell, or if nothing is known. Without a journal, the suite of that name is asked."""
    matching = [p for p in _patterns(suite, cast("Scale", scale)) if p.matches(cell)]
    cells = planned.get((suite, scale))
    if cell_label(*cell) in cells if cells is not None else not matching:
        return ""
    reason = next((p.reason for p in matching if p.reason), None)
    return f"{EXCLUDED}: {reason}" if reason else EXCLUDED
