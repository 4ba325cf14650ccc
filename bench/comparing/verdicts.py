"""Verdicts on one metric of one cell, by the gate that matches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from throughtime.comparing.cells import Cell, Conflict, Pair, bptt_of
from throughtime.comparing.gates import MACHINE, MetricGate, Severity
from throughtime.comparing.ratios import ratio_row
from throughtime.comparing.rows import Row, Verdict, by_gate, mean, row_of, shown
from throughtime.records.statistics.paired import paired_difference
from throughtime.records.statistics.significance import (
    difference,
    fewest_replicates,
    holm,
    permutation_p,
    replicates_to_decide,
    smallest_p,
)
from throughtime.spec import MEASURED_ONCE, NOISY_MEASURES

IN_TURNS = "time_over_bptt"
"""Measure that is a ratio already, of two times in turns: it can be compared between machines that were quiet."""


@dataclass(frozen=True)
class Undecided:
    """A row that waits for the p values of its family."""

    row: Row
    gate: MetricGate
    base: tuple[float, ...]
    new: tuple[float, ...]
    p: float
    smallest: float
    """The smallest p that so many values can give."""


def presence_row(pair: Pair, metric: str, gate: MetricGate | None) -> Row | None:
    """Return the row of a metric that one side lacks; None if both have it, or if the runs of a side failed, which the
    row `status` reports."""
    if all(cell.values(metric) for cell in pair):
        return None
    gone = bool(pair.base.values(metric))
    present, absent = (pair.base, pair.new) if gone else (pair.new, pair.base)
    if not any(record.status == "ok" for record in absent.records.values()):
        return None
    values, side = list(present.values(metric).values()), "base" if gone else "new"
    fields = {side: mean(values), f"n_{side}": len(values), "unit": present.unit(metric), **by_gate(gate)}
    reason = f"{'new' if gone else 'base'}: {absent.missing(metric)}"
    if not gone:
        return row_of(pair.new, metric, "new", reason=reason, **fields)
    severity: Severity = "" if gate is None else "fail" if gate.fail is not None else "warn"
    return row_of(pair.new, metric, "lost", severity=severity, reason=reason, **fields)


def compared(
    pair: Pair, metric: str, gate: MetricGate | None, base: Sequence[Cell], new: Sequence[Cell]
) -> Row | Undecided:
    """Return the row of a metric that both sides have.

    Args:
        pair: two cells that both have values.
        metric: a measure's name.
        gate: the gate that applies; None: only equality is recognised.
        base: the cells of BPTT of that side, for ratios to it.
        new: the same.
    """
    if metric == IN_TURNS and any(record.contended for cell in pair for record in cell.records.values()):
        reason = "the machine was busy with other processes"
        return _row(pair, metric, gate, "not comparable", severity="warn", reason=reason)
    if reason := obstacle(pair, metric, gate):
        return _row(pair, metric, gate, "not comparable", reason=reason)
    if gate is None:
        if pair.base.values(metric) == pair.new.values(metric):
            return _row(pair, metric, gate, "same")
        return _row(pair, metric, gate, "unclear", reason="no gate says which change counts")
    if gate.compare == "ratio_to_bptt":
        return ratio_row(pair, metric, gate, bptt_of(pair.base, base), bptt_of(pair.new, new))
    return _test(pair, metric, gate) if gate.compare == "test" else _by_replicate(pair, metric, gate)


def decided(family: Sequence[Undecided]) -> list[Row]:
    """Return the rows of all tests of a comparison, with p values adjusted together by Holm's method."""
    adjusted = holm([test.p for test in family])
    return [_decide(test, p, len(family)) for test, p in zip(family, adjusted, strict=True)]


def _row(pair: Pair, metric: str, gate: MetricGate | None, verdict: Verdict, **fields: Any) -> Row:
    """Return a row with the means of all replicates, their difference and its interval; `fields` override them."""
    base, new = (list(cell.values(metric).values()) for cell in pair)
    numbers = _numbers(base, new) | _paired(pair, metric)
    return row_of(pair.new, metric, verdict, **{**numbers, "unit": pair.new.unit(metric), **by_gate(gate), **fields})


def _paired(pair: Pair, metric: str) -> dict[str, float | None]:
    """Return the ends of the interval over sequences and runs, if all runs have the outcomes whose mean the metric is,
    and each has a counterpart; else nothing."""
    base, new = (cell.records for cell in pair)
    records = [*base.values(), *new.values()]
    if base.keys() != new.keys() or any(r.metric != metric or r.spec.training.mean_of_last > 1 for r in records):
        return {}
    outcomes = [[record.outcomes for _, record in sorted(side.items())] for side in (base, new)]
    known = [[o.right() for o in side if o is not None] for side in outcomes]
    if len(known[0]) + len(known[1]) < len(records) or len({len(right) for side in known for right in side}) != 1:
        return {}
    Δ = paired_difference(known[0], known[1])
    return {"low": Δ.low, "high": Δ.high}


def _numbers(base: list[float], new: list[float]) -> dict[str, Any]:
    Δ = difference(base, new)
    numbers = {"base": mean(base), "new": mean(new), "difference": mean(new) - mean(base), "low": Δ.low, "high": Δ.high}
    return {**numbers, "n_base": len(base), "n_new": len(new)}


def obstacle(pair: Pair, metric: str, gate: MetricGate | None) -> str:
    """Return the reason for which the two sides cannot be compared on this metric; empty if they can."""
    conflicts = [conflict for conflict in pair.conflicts() if _matters(conflict, metric, gate)]
    wanted = list(gate.same) if gate else []
    relative = metric == IN_TURNS or (gate is not None and gate.compare == "ratio_to_bptt")
    if metric.startswith(NOISY_MEASURES) and not relative:
        wanted += ["machine", "threads"]
    for name in dict.fromkeys(key for item in wanted for key in (MACHINE if item == "machine" else (item,))):
        values = [_place(cell).get(name) for cell in pair]
        if values[0] != values[1]:
            conflicts.append(Conflict(name, *values))
    return "; ".join(map(str, conflicts))


def _matters(conflict: Conflict, metric: str, gate: MetricGate | None) -> bool:
    """Return whether a conflict affects a metric: a seed changes no cost, and `test` compares groups of any seeds."""
    return conflict.key != "seed" or not (metric.startswith(MEASURED_ONCE) or (gate and gate.compare == "test"))


def _place(cell: Cell) -> dict[str, object]:
    record = next(iter(cell.records.values()))
    return {**record.machine, **record.versions}


def _by_replicate(pair: Pair, metric: str, gate: MetricGate) -> Row:
    """Return the row of `exact` or `tolerance`: each replicate against its counterpart; the largest change decides."""
    base, new = pair.base.values(metric), pair.new.values(metric)
    common = sorted(base.keys() & new.keys())
    if not common:
        return _row(pair, metric, gate, "not comparable", reason="the two sides have no replicate in common")
    numbers = _numbers([base[r] for r in common], [new[r] for r in common])
    change = {r: new[r] - base[r] for r in common}
    beyond = {r: abs(change[r]) - gate.minimum(base[r]).absolute(base[r]) for r in common}
    moved = [r for r in common if beyond[r] > 0]  # the minimum of `exact` is 0
    if not moved:
        return _row(pair, metric, gate, "same", **numbers)
    against = [r for r in moved if not gate.improves(change[r])]
    severities = {r: gate.severity(abs(change[r]), base[r]) if against else "" for r in against or moved}
    furthest = max(severities, key=lambda r: (("", "warn", "fail").index(severities[r]), beyond[r]))
    amount = "exactly equal" if gate.compare == "exact" else f"within {gate.minimum(base[furthest])}"
    reason = f"replicate {furthest}: {shown(base[furthest])} → {shown(new[furthest])}, not {amount}"
    verdict: Verdict = "worse" if against else "better"
    severity = severities[furthest]
    return _row(pair, metric, gate, verdict, severity=severity, reason=reason, **numbers)


def _test(pair: Pair, metric: str, gate: MetricGate) -> Row | Undecided:
    """Return a test of two groups of replicates; equal runs need no test and are no part of the family."""
    base, new = pair.base.values(metric), pair.new.values(metric)
    if base == new:
        return _row(pair, metric, gate, "same")
    x, y = tuple(base.values()), tuple(new.values())
    p = permutation_p(x, y)
    return Undecided(_row(pair, metric, gate, "unclear"), gate, x, y, p, smallest_p(len(x), len(y)))


def _decide(test: Undecided, p: float, family: int) -> Row:
    """Decide a test by minimum effect and significance; too few replicates give *unclear*, never *same*.

    Args:
        test: the row and its values.
        p: the adjusted p value.
        family: number of tests in the family; the first one must reach α / family.
    """
    gate, row = test.gate, replace(test.row, p=p)
    assert row.difference is not None and row.base is not None
    change, least, level = abs(row.difference), gate.minimum(row.base).absolute(row.base), gate.level / family
    if p <= gate.level:
        if change <= least:
            return replace(row, verdict="same", reason=f"significant, but not more than {gate.minimum(row.base)}")
        against = not gate.improves(row.difference)
        severity = gate.severity(change, row.base) if against else ""
        return replace(row, verdict="worse" if against else "better", severity=severity)
    if test.smallest > level:
        n = fewest_replicates(level)
        reason = f"n = {len(test.base)} and {len(test.new)} cannot reach p = {level:.2g}; {n} replicates a side can"
        return replace(
            row, verdict="unclear", reason=reason if gate.compare == "test" else f"p = {level:.2g} needs more cells"
        )
    if change > least:
        reason = f"moved by more than {gate.minimum(row.base)}, but p > {gate.level:g}"
        if gate.compare == "test":
            n = replicates_to_decide(test.base, test.new, level)
            reason += f"; about {n} replicates a side would decide"
        return replace(row, verdict="unclear", reason=reason)
    return replace(row, verdict="same")
