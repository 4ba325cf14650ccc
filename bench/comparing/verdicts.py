"""The verdict on one metric of one cell, by the gate that matches it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from throughtime.comparing.cells import Cell, Conflict, Pair, bptt_of
from throughtime.comparing.gates import MACHINE, Gate, Severity
from throughtime.comparing.significance import (
    difference,
    fewest_replicates,
    holm,
    permutation_p,
    replicates_to_decide,
    smallest_p,
)
from throughtime.running.rerun import NOISY
from throughtime.spec import MEASURED_ONCE

STATUS = "status"
"""In place of a metric: how the runs of a cell ended."""
Verdict = Literal["better", "worse", "same", "unclear", "new", "lost", "newly failing", "fixed", "not comparable"]
VERDICTS: tuple[Verdict, ...] = (
    *("newly failing", "lost", "worse", "not comparable", "unclear"),
    *("better", "fixed", "new", "same"),
)
"""In the order in which reports show them."""


@dataclass(frozen=True)
class Row:
    """One metric of one cell, base against new."""

    suite: str
    scale: str
    rule: str
    neuron: str
    network: str
    dataset: str
    label: str
    """Of the cell, as `throughtime run --only` takes it."""
    metric: str
    """Or `STATUS`."""
    verdict: Verdict
    severity: Severity = ""
    """Whether the verdict fails the comparison or warns; a verdict without a gate does neither."""
    base: float | None = None
    """Mean over the replicates compared."""
    new: float | None = None
    difference: float | None = None
    """New minus base; for `ratio_to_bptt` and `interleaved` the relative change of the ratio."""
    low: float | None = None
    """95 % interval of the difference; None where the values give none."""
    high: float | None = None
    n_base: int = 0
    n_new: int = 0
    unit: str = ""
    p: float | None = None
    """Of the permutation test, adjusted by Holm's method."""
    gate: str = ""
    """The gate's pattern of metrics; empty without a gate."""
    compare: str = ""
    """The gate's way to compare, or `interleaved`."""
    why: str = ""
    """The gate's reason."""
    reason: str = ""
    """The reason for the verdict."""

    @property
    def judged(self) -> bool:
        """Whether a gate, or how its runs ended, gave the verdict; without one, equality alone was looked at."""
        return bool(self.gate) or self.metric == STATUS


@dataclass(frozen=True)
class Undecided:
    """A row that waits for the p values of its family."""

    row: Row
    gate: Gate
    base: tuple[float, ...]
    new: tuple[float, ...]
    p: float


def row_of(pair: Pair, metric: str, verdict: Verdict, **fields: object) -> Row:
    """A row with the names of a pair's cell."""
    spec = pair.shown.spec
    rule, neuron, network, dataset = spec.cell
    return Row(spec.suite, spec.scale, rule, neuron, network, dataset, pair.shown.label, metric, verdict, **fields)  # type: ignore[arg-type]


def of_presence(pair: Pair, metric: str, gate: Gate | None) -> Row | None:
    """The row of a metric that one side lacks; None where both have it, or where its runs failed (the row `status`
    says so)."""
    if pair.base is None or pair.new is None:
        return None
    here = [bool(cell.values(metric)) for cell in (pair.base, pair.new)]
    if all(here):
        return None
    present, absent = (pair.base, pair.new) if here[0] else (pair.new, pair.base)
    if not any(record.status == "ok" for record in absent.records.values()):
        return None
    values = list(present.values(metric).values())
    side = "base" if here[0] else "new"
    fields = {side: mean(values), f"n_{side}": len(values), "unit": present.unit(metric)}
    reason = f"{'new' if here[0] else 'base'}: {absent.missing(metric)}"
    if not here[0]:
        return row_of(pair, metric, "new", reason=reason, **fields)
    severity: Severity = "" if gate is None else "fail" if gate.fail is not None else "warn"
    return row_of(pair, metric, "lost", severity=severity, reason=reason, **by_gate(gate), **fields)


def compared(pair: Pair, metric: str, gate: Gate | None, base: Sequence[Cell], new: Sequence[Cell]) -> Row | Undecided:
    """The row of a metric that both sides have.

    Args:
        pair: both cells are there, and have values.
        metric: a measure's name.
        gate: how to compare; None: only equality is recognised.
        base: all cells of that side, for ratios to BPTT.
        new: the same.
    """
    one, other = pair.base, pair.new
    assert one is not None and other is not None
    if obstacle := _obstacle(pair, metric, gate):
        return _row(pair, metric, gate, "not comparable", one.values(metric), other.values(metric), reason=obstacle)
    if gate is None:
        return _ungated(pair, metric)
    if gate.compare == "test":
        return _test(pair, metric, gate)
    if gate.compare == "ratio_to_bptt":
        return _ratio(pair, metric, gate, bptt_of(one, base), bptt_of(other, new))
    return _by_replicate(pair, metric, gate)


def decided(family: Sequence[Undecided]) -> list[Row]:
    """The rows of all tests of a comparison, their p values adjusted together by Holm's method."""
    adjusted = holm([each.p for each in family])
    return [_decide(each, p, len(family)) for each, p in zip(family, adjusted, strict=True)]


def mean(values: Sequence[float]) -> float:
    """The mean; that of equal values is their value to the last bit."""
    return values[0] if len(set(values)) == 1 else math.fsum(values) / len(values)


def by_gate(gate: Gate | None) -> dict[str, str]:
    """The fields of a row that name its gate."""
    return {"gate": gate.metric, "compare": gate.compare, "why": gate.why} if gate else {}


def _row(
    pair: Pair,
    metric: str,
    gate: Gate | None,
    verdict: Verdict,
    base: dict[int, float],
    new: dict[int, float],
    **more: object,
) -> Row:
    """A row with means, their difference and its interval."""
    one, other = list(base.values()), list(new.values())
    fields: dict[str, object] = {
        "n_base": len(one),
        "n_new": len(other),
        "unit": pair.shown.unit(metric),
        **by_gate(gate),
    }
    if one and other:
        Δ = difference(one, other)
        fields |= {
            "base": mean(one),
            "new": mean(other),
            "difference": mean(other) - mean(one),
            "low": Δ.low,
            "high": Δ.high,
        }
    return row_of(pair, metric, verdict, **{**fields, **by_gate(gate), **more})


def _obstacle(pair: Pair, metric: str, gate: Gate | None) -> str:
    """Why the two sides cannot be compared on this metric; empty if they can."""
    assert pair.base is not None and pair.new is not None
    conflicts = [conflict for conflict in pair.conflicts() if _matters(conflict, metric, gate)]
    wanted = list(gate.same) if gate else []
    if metric.startswith(NOISY) and (gate is None or gate.compare != "ratio_to_bptt"):
        wanted += ["machine", "threads"]
    for name in dict.fromkeys(key for item in wanted for key in (MACHINE if item == "machine" else (item,))):
        values = [_place(cell).get(name) for cell in (pair.base, pair.new)]
        if values[0] != values[1]:
            conflicts.append(Conflict(name, *values))
    return "; ".join(map(str, conflicts))


def _matters(conflict: Conflict, metric: str, gate: Gate | None) -> bool:
    """Another seed changes no cost, and groups of replicates are tested whatever their seeds."""
    return conflict.key != "seed" or not (metric.startswith(MEASURED_ONCE) or (gate and gate.compare == "test"))


def _place(cell: Cell) -> dict[str, object]:
    record = next(iter(cell.records.values()))
    return {**record.machine, **record.versions}


def _ungated(pair: Pair, metric: str) -> Row:
    assert pair.base is not None and pair.new is not None
    base, new = pair.base.values(metric), pair.new.values(metric)
    if base == new:
        return _row(pair, metric, None, "same", base, new)
    return _row(pair, metric, None, "unclear", base, new, reason="no gate says which change counts")


def _by_replicate(pair: Pair, metric: str, gate: Gate) -> Row:
    """`exact` and `tolerance`: each replicate against the same replicate; the one that moved furthest decides."""
    assert pair.base is not None and pair.new is not None
    base, new = pair.base.values(metric), pair.new.values(metric)
    common = sorted(base.keys() & new.keys())
    if not common:
        return _row(pair, metric, gate, "not comparable", base, new, reason="the two sides have no replicate in common")
    base, new = ({replicate: side[replicate] for replicate in common} for side in (base, new))
    allowed = {replicate: gate.minimum.of(base[replicate]) for replicate in common}
    moved = [r for r in common if new[r] != base[r] and abs(new[r] - base[r]) > allowed[r]]
    if not moved:
        return _row(pair, metric, gate, "same", base, new)
    against = [replicate for replicate in moved if not _improves(gate, new[replicate] - base[replicate])]
    furthest = max(against or moved, key=lambda r: abs(new[r] - base[r]) - allowed[r])
    change = abs(new[furthest] - base[furthest])
    amount = "exactly equal" if gate.compare == "exact" else f"within {gate.minimum}"
    reason = f"replicate {furthest}: {shown(base[furthest])} → {shown(new[furthest])}, not {amount}"
    severity = gate.severity(change, base[furthest]) if against else ""
    return _row(pair, metric, gate, "worse" if against else "better", base, new, severity=severity, reason=reason)


def _improves(gate: Gate, change: float) -> bool:
    return gate.better == ("lower" if change < 0 else "higher")


def _test(pair: Pair, metric: str, gate: Gate) -> Row | Undecided:
    """A test of two groups of replicates. Equal runs need none: they are no part of the family."""
    assert pair.base is not None and pair.new is not None
    base, new = pair.base.values(metric), pair.new.values(metric)
    if base == new:
        return _row(pair, metric, gate, "same", base, new)
    one, other = tuple(base.values()), tuple(new.values())
    return Undecided(_row(pair, metric, gate, "unclear", base, new), gate, one, other, permutation_p(one, other))


def _decide(each: Undecided, p: float, family: int) -> Row:
    """Minimum effect and significance; too few replicates to reach it are *unclear*, never *same*.

    Args:
        each: the row and its values.
        p: adjusted.
        family: tests in the family; the first one must reach α / family.
    """
    gate, row = each.gate, replace(each.row, p=p)
    assert row.difference is not None and row.base is not None
    change, least, level = abs(row.difference), gate.minimum.of(row.base), gate.level / family
    if p <= gate.level:
        if change <= least:
            return replace(row, verdict="same", reason=f"significant, but not more than {gate.minimum}")
        against = not _improves(gate, row.difference)
        severity = gate.severity(change, row.base) if against else ""
        return replace(row, verdict="worse" if against else "better", severity=severity)
    if smallest_p(len(each.base), len(each.new)) > level:
        n = fewest_replicates(level)
        reason = f"n = {len(each.base)} and {len(each.new)} cannot reach p = {level:.2g}; {n} replicates a side can"
        return replace(row, verdict="unclear", reason=reason)
    if change > least:
        n = replicates_to_decide(each.base, each.new, level)
        reason = f"moved by more than {gate.minimum}, but p > {gate.level:g}; about {n} replicates a side would decide"
        return replace(row, verdict="unclear", reason=reason)
    return replace(row, verdict="same")


def _ratio(pair: Pair, metric: str, gate: Gate, base_bptt: Cell | None, new_bptt: Cell | None) -> Row:
    """The cost of a cell over BPTT's in the same sweep, as the relative change of that ratio.

    Where repeats of both were recorded, the interval is Welch's on logarithms, and the change must exceed it as well:
    it covers the spread of repeats in one process, not that between processes.
    """
    assert pair.base is not None and pair.new is not None
    sides = ((pair.base, base_bptt), (pair.new, new_bptt))
    ratios, logs = [], []
    for cell, bptt in sides:
        reference = list(bptt.values(metric).values()) if bptt else []
        if bptt is None or not reference:
            return _row(pair, metric, gate, "not comparable", {}, {}, reason=f"no {metric} of BPTT in the same sweep")
        value = mean(list(cell.values(metric).values()))
        if min(value, *reference) <= 0:
            return _row(pair, metric, gate, "not comparable", {}, {}, reason="a ratio to zero")
        ratios.append(value / mean(reference))
        logs.append([[math.log(s) for s in each.samples(metric)] for each in (cell, bptt)])
    change = ratios[1] / ratios[0] - 1
    low, high = _ratio_interval(logs)
    fields = {"base": ratios[0], "new": ratios[1], "difference": change, "low": low, "high": high}
    row = row_of(pair, metric, "same", n_base=1, n_new=1, unit="of BPTT's", **by_gate(gate), **fields)
    if abs(change) <= gate.minimum.value:
        return row
    busy = [name for name, side in zip(("base", "new"), sides, strict=True) if any(map(_contended, side))]
    if busy:
        return replace(
            row, verdict="unclear", reason=f"the machine was busy with other processes ({' and '.join(busy)})"
        )
    if low is not None and high is not None and low <= 0 <= high:
        return replace(
            row, verdict="unclear", reason=f"moved by more than {gate.minimum}, but within the spread of repeats"
        )
    if _improves(gate, change):
        return replace(row, verdict="better")
    return replace(row, verdict="worse", severity=gate.severity(abs(change), 1.0))


def _ratio_interval(logs: list[list[list[float]]]) -> tuple[float | None, float | None]:
    """Interval of the relative change of a ratio, from the logarithms of repeats: [side][cell, BPTT][repeats]."""
    (cell, bptt), (new_cell, new_bptt) = logs
    if min(map(len, (cell, bptt, new_cell, new_bptt))) < 2:
        return None, None
    of_cell, of_bptt = difference(cell, new_cell), difference(bptt, new_bptt)
    middle = of_cell.mean - of_bptt.mean
    halves = [(d.high - d.low) / 2 for d in (of_cell, of_bptt) if d.high is not None and d.low is not None]
    half = math.hypot(*halves)
    return math.expm1(middle - half), math.expm1(middle + half)


def _contended(cell: Cell | None) -> bool:
    return cell is not None and any(record.contended for record in cell.records.values())


def shown(value: float) -> str:
    """A value in a sentence or a table: whole numbers in full, others with six digits."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
