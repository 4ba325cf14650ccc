"""Gates (`gates.yaml`): for each metric, the way to compare two values and the changes that warn or fail."""

from __future__ import annotations

from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from throughtime.errors import UsageError, suggestion
from throughtime.records.provenance import RECORDED_VERSIONS
from throughtime.spec import RunSpec, Strict
from throughtime.suites.schema import When
from throughtime.suites.strict_yaml import checked, load

MACHINE = ("processor", "cores", "memory_bytes", "system")
"""Entries of a record's `machine` that identify a machine."""
GATES_FILE = "gates.yaml"
SAME = ("machine", *MACHINE, "threads", "python", *RECORDED_VERSIONS)
"""Values that a gate may require to be equal on both sides."""
Severity = Literal["fail", "warn", ""]
ALPHA = 0.01
"""Default family-wise error rate of all tests of a comparison."""


class Amount(NamedTuple):
    """The largest change that a gate allows."""

    value: float
    relative: bool
    """Whether `value` is a share of the base's absolute value instead of an amount in the metric's unit."""

    def absolute(self, base: float) -> float:
        """Return the amount in the metric's unit."""
        return self.value * abs(base) if self.relative else self.value

    def __str__(self) -> str:
        return f"{100 * self.value:g} %" if self.relative else f"{self.value:g}"


def amount(written: Any) -> Any:
    """Parse a threshold: `0.03` is an amount in the metric's unit, `5 %` a share of the base, `true` any change.

    Raises:
        ValueError: it is none of these.
    """
    if written is None or written is True or isinstance(written, Amount):
        return written
    if isinstance(written, int | float) and not isinstance(written, bool) and written >= 0:
        return Amount(float(written), False)
    if isinstance(written, str) and written.rstrip().endswith("%"):
        number = written.rstrip().removesuffix("%")
        try:
            if (value := float(number)) >= 0:
                return Amount(value / 100, True)
        except ValueError:
            pass
    raise ValueError(f"{written!r} is no amount; for example 0.03, 5 %, or true for a gate that compares exactly")


Threshold = Annotated[Any, BeforeValidator(amount)]
"""An `Amount`, True, or None."""


class MetricGate(Strict):
    """A rule of comparison; the first gate that matches a metric of a cell applies."""

    metric: str = Field(min_length=1)
    """A measure's name, or a pattern such as `peak_live_bytes*`."""
    compare: Literal["exact", "tolerance", "test", "cells", "ratio_to_bptt"]
    better: Literal["lower", "higher", "neither"]
    """The direction of improvement; `neither`: the base is the reference, and any departure from it is worse."""
    when: When = When()
    """Cells to which the gate applies; all if left out."""
    same: list[str] = Field(default=[])
    """Properties that must be equal on both sides for a valid comparison: `machine`, `torch`, ..."""
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Family-wise error rate of all tests, for `test` and `cells`; null: 0.01."""
    warn: Threshold = None
    fail: Threshold = None
    why: str = Field(min_length=1)
    """The reason for the gate; reports print it."""

    @model_validator(mode="after")
    def _consistent(self) -> MetricGate:
        given = [threshold for threshold in (self.warn, self.fail) if threshold is not None]
        if not given:
            raise ValueError('a gate needs "warn" or "fail", or both')
        if (self.compare == "exact") != all(threshold is True for threshold in given):
            needs = "true: any change counts" if self.compare == "exact" else "an amount, such as 0.03 or 5 %"
            raise ValueError(f'with "compare: {self.compare}", "warn" and "fail" are {needs}')
        if self.compare == "ratio_to_bptt" and not all(threshold.relative for threshold in given):
            raise ValueError('with "compare: ratio_to_bptt", "warn" and "fail" are shares, such as 25 %')
        if self.alpha is not None and self.compare not in ("test", "cells"):
            raise ValueError('"alpha" would do nothing without "compare: test" or "compare: cells"')
        if self.better == "neither" and self.compare == "ratio_to_bptt":
            raise ValueError('with "compare: ratio_to_bptt", "better" is lower or higher')
        return self

    @property
    def level(self) -> float:
        """Return α of a test."""
        return ALPHA if self.alpha is None else self.alpha

    def minimum(self, base: float = 1.0) -> Amount:
        """Return the smallest change of a value that counts; any change for `exact`.

        Args:
            base: the base's value, which decides between an amount and a share.
        """
        given = [threshold for threshold in (self.warn, self.fail) if isinstance(threshold, Amount)]
        return min(given, key=lambda threshold: threshold.absolute(base), default=Amount(0.0, False))

    def matches(self, metric: str, spec: RunSpec) -> bool:
        """Return whether this gate is for a metric of a cell."""
        return fnmatchcase(metric, self.metric) and self.when.matches(spec.cell)

    def improves(self, change: float) -> bool:
        """Return whether a change, new minus base, is an improvement."""
        return self.better == ("lower" if change < 0 else "higher")

    def severity(self, change: float, base: float) -> Severity:
        """Return the severity of a change in the wrong direction.

        Args:
            change: its absolute size, in the metric's unit.
            base: the base's value.
        """
        levels: tuple[tuple[Severity, Any], ...] = (("fail", self.fail), ("warn", self.warn))
        for severity, threshold in levels:
            if threshold is True or (threshold is not None and change > threshold.absolute(base)):
                return severity
        return ""


class GatesFile(Strict):
    """The contents of a gates file."""

    gates: list[MetricGate] = Field(min_length=1)


class Gates:
    """The gates of a comparison, in order.

    Attributes:
        gates: the rules.
        places: the position of each, `file:line:column`.
        may_be_idle: whether a gate may match nothing, as with throughtime's own gates, which apply to any results.
    """

    def __init__(self, gates: list[MetricGate], places: list[str], may_be_idle: bool = False) -> None:
        self.gates, self.places, self.may_be_idle = gates, places, may_be_idle
        self._matched: set[int] = set()

    @classmethod
    def load(cls, path: str | Path | None = None) -> Gates:
        """Read a gates file; None: the one that ships with throughtime.

        Raises:
            UsageError: there is no such file, or an entry is wrong; `where` is `file:line:column`.
        """
        shipped = resources.files("throughtime.comparing").joinpath("gates.yaml")
        document = load(shipped if path is None else str(path))
        gates = checked(document, GatesFile).gates
        for i, gate in enumerate(gates):
            for j, name in enumerate(gate.same):
                if name not in SAME:
                    where = document.position(("gates", i, "same", j))
                    raise UsageError(f'"same" knows no "{name}"', where, suggestion(name, SAME))
        return cls(gates, [document.position(("gates", i)) for i in range(len(gates))], may_be_idle=path is None)

    def match(self, metric: str, spec: RunSpec, ratios: bool = True) -> MetricGate | None:
        """Return the first gate that matches a metric of a cell; gates over all cells apply beside it.

        Args:
            metric: a measure's name.
            spec: any run of the cell.
            ratios: whether the sweep has runs of BPTT. Without them throughtime's own gates on ratios to BPTT do not
                apply, while those of a file say that the cell cannot be compared. BPTT has no ratio to itself.
        """
        first = None
        for i, gate in enumerate(self.gates):
            no_ratio = spec.rule.name == "bptt" or (self.may_be_idle and not ratios)
            if not gate.matches(metric, spec) or (no_ratio and gate.compare == "ratio_to_bptt"):
                continue
            if gate.compare == "cells":
                self._matched.add(i)
            elif first is None:
                self._matched.add(i)
                first = gate
        return first

    @property
    def over_cells(self) -> list[MetricGate]:
        """Return the gates over all cells of a suite."""
        return [gate for gate in self.gates if gate.compare == "cells"]

    def refuse_unmatched(self) -> None:
        """Refuse gates that matched nothing; to be called after all metrics were matched.

        Raises:
            UsageError: a gate matched nothing and would have no effect.
        """
        for i, gate in enumerate(self.gates):
            if i not in self._matched and not self.may_be_idle:
                hint = "no cell has such a metric, or a gate before this one takes them all"
                raise UsageError(f'the gate on "{gate.metric}" matched nothing', self.places[i], hint)
