"""Rows of a comparison, each for one metric of one cell, and the ten verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from throughtime.comparing.cells import Cell
from throughtime.comparing.gates import MetricGate, Severity

STATUS = "status"
"""Name in place of a metric for the status of a cell's runs."""
CODE = "code"
"""Name in place of a metric for the code that made a cell's runs."""
Verdict = Literal[
    "better", "worse", "same", "unclear", "new", "lost", "newly failing", "fixed", "stale", "not comparable"
]
VERDICTS: tuple[Verdict, ...] = (
    *("newly failing", "lost", "worse", "stale", "not comparable", "unclear"),
    *("better", "fixed", "new", "same"),
)
"""Verdicts in the order in which reports show them."""


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
    """Label of the cell, in the form of `throughtime run --only`."""
    metric: str
    """Name of a metric, `STATUS` or `CODE`."""
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
    """p of the permutation test, adjusted by Holm's method."""
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
        """Return whether the verdict is that of a gate, of the runs' status or of their code; otherwise it states
        equality alone."""
        return bool(self.gate) or self.metric in (STATUS, CODE)


def row_of(cell: Cell, metric: str, verdict: Verdict, **fields: Any) -> Row:
    """Return a row with the names of a cell."""
    spec = cell.spec
    rule, neuron, network, dataset = spec.cell
    return Row(spec.suite, spec.scale, rule, neuron, network, dataset, cell.label, metric, verdict, **fields)


def by_gate(gate: MetricGate | None) -> dict[str, str]:
    """Return the fields of a row that name its gate."""
    return {"gate": gate.metric, "compare": gate.compare, "why": gate.why} if gate else {}


def mean(values: Sequence[float]) -> float:
    """Return the mean; for equal values it is exactly their value."""
    return values[0] if len(set(values)) == 1 else math.fsum(values) / len(values)


def shown(value: float) -> str:
    """Format a value for a sentence or a table: whole numbers in full, others with six digits."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
