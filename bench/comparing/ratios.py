"""Ratios of costs to BPTT's in the same sweep, which two sweeps can compare even if their times differ."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from throughtime.comparing.cells import Cell, Pair
from throughtime.comparing.gates import MetricGate
from throughtime.comparing.rows import Row, by_gate, mean, row_of
from throughtime.records.statistics.significance import difference


class Ratio(NamedTuple):
    """The ratio of a cell's cost to BPTT's."""

    value: float
    cell: list[float]
    """Logarithms of the repeats behind the cell's cost; empty where none were recorded."""
    bptt: list[float]
    """The same for BPTT's cost."""
    contended: bool
    """Whether other processes used the machine during the measurement."""


def ratio_row(pair: Pair, metric: str, gate: MetricGate, base_bptt: Cell | None, new_bptt: Cell | None) -> Row:
    """Return the row of the relative change of the ratio.

    If repeats of both cells were recorded, the row has Welch's interval of the logarithms, and a change must exceed it
    as well. It covers the spread of repeats in one process, not that between processes.
    """
    base, new = _ratio(pair.base, base_bptt, metric), _ratio(pair.new, new_bptt, metric)
    if base is None or new is None or base.value <= 0:
        reason = f"the base's {metric} is 0" if base and new else f"no {metric} of BPTT in the same sweep"
        return row_of(pair.new, metric, "not comparable", reason=reason, **by_gate(gate))
    change = new.value / base.value - 1
    low, high = _interval(base, new)
    numbers = {"base": base.value, "new": new.value, "difference": change, "low": low, "high": high}
    row = row_of(pair.new, metric, "same", n_base=1, n_new=1, unit="of BPTT's", **by_gate(gate), **numbers)
    if abs(change) <= gate.minimum().value:
        return row
    if base.contended or new.contended:
        return replace(row, verdict="unclear", reason="the machine was busy with other processes")
    if low is not None and high is not None and low <= 0 <= high:
        reason = f"moved by more than {gate.minimum()}, but within the spread of repeats"
        return replace(row, verdict="unclear", reason=reason)
    if gate.improves(change):
        return replace(row, verdict="better")
    return replace(row, verdict="worse", severity=gate.severity(abs(change), 1.0))


def _ratio(cell: Cell, bptt: Cell | None, metric: str) -> Ratio | None:
    """Return the ratio; None if BPTT's cost is missing or 0."""
    reference = list(bptt.values(metric).values()) if bptt else []
    if bptt is None or not reference or min(reference) <= 0:
        return None
    value = mean(list(cell.values(metric).values())) / mean(reference)
    cell_samples, bptt_samples = ([math.log(sample) for sample in side.samples(metric)] for side in (cell, bptt))
    busy = any(record.contended for side in (cell, bptt) for record in side.records.values())
    contended = busy and not metric.startswith("peak_")  # other processes change times, and no peak of this one
    return Ratio(value, cell_samples, bptt_samples, contended)


def _interval(base: Ratio, new: Ratio) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the relative change of a ratio."""
    if min(map(len, (base.cell, base.bptt, new.cell, new.bptt))) < 2:
        return None, None
    changes = difference(base.cell, new.cell), difference(base.bptt, new.bptt)
    middle = changes[0].mean - changes[1].mean
    half = math.hypot(*((d.high - d.low) / 2 for d in changes if d.high is not None and d.low is not None))
    return math.expm1(middle - half), math.expm1(middle + half)
