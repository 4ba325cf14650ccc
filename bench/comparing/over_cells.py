"""One test over all cells of a suite: a shift in one direction that no cell shows alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from throughtime.comparing.cells import Cell, Pair
from throughtime.comparing.gates import MetricGate
from throughtime.comparing.rows import Row, by_gate, mean
from throughtime.comparing.verdicts import Undecided, obstacle
from throughtime.records.statistics.interval import mean_interval


def over_cells(pairs: Sequence[Pair], gate: MetricGate) -> Iterator[Row | Undecided]:
    """Yield the row of each metric of a gate `cells`, for each suite and scale: the mean change over its cells.

        d_i = mean over replicates of cell i, new − base
        p = P(so many d_i of one sign or more, if each sign is equally likely)

    The sign test is exact and two-sided; cells without a change are no part of it, and without any change there is
    nothing to test. Cells that cannot be compared, or that lack the metric, are left out.

    Args:
        pairs: all matched cells.
        gate: a gate with `compare: cells`.
    """
    groups: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in pairs:
        spec = pair.new.spec
        for metric in pair.base.metrics():
            if (
                gate.matches(metric, spec)
                and all(cell.values(metric) for cell in pair)
                and not obstacle(pair, metric, gate)
            ):
                groups.setdefault((spec.suite, spec.scale, metric), []).append(pair)
    for (suite, scale, metric), among in groups.items():
        base, new = ([_mean(cell, metric) for cell in side] for side in zip(*among, strict=True))
        changes = [b - a for a, b in zip(base, new, strict=True)]
        Δ = mean_interval(changes)
        names = ("rule", "neuron", "network", "dataset")
        fields: dict[str, Any] = {"label": f"all {len(among)} cells", **dict.fromkeys(names, ""), **by_gate(gate)}
        fields |= {"base": mean(base), "new": mean(new), "difference": Δ.mean, "low": Δ.low, "high": Δ.high}
        fields |= {"n_base": len(among), "n_new": len(among), "unit": among[0].new.unit(metric)}
        row = Row(suite=suite, scale=scale, metric=metric, verdict="same", **fields)
        if moved := [change for change in changes if change]:
            from scipy.stats import binomtest  # half a second

            p = float(binomtest(sum(change > 0 for change in moved), len(moved)).pvalue)
            yield Undecided(row, gate, tuple(base), tuple(new), p, smallest=2.0 ** (1 - len(moved)))
        else:
            yield row


def _mean(cell: Cell, metric: str) -> float:
    return mean(list(cell.values(metric).values()))
