"""Cells of two result sets, and their matching by rule, neuron, network, dataset, options and scale."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from throughtime.records.baseline_lines import GIT
from throughtime.records.record import Record
from throughtime.registry import KINDS
from throughtime.spec import MEASURED_ONCE, RunSpec


@dataclass
class Cell:
    """The runs of one cell, which differ in the replicate alone."""

    spec: RunSpec
    """The spec of the first replicate."""
    records: dict[int, Record] = field(default_factory=dict)
    """Records by replicate."""

    @property
    def label(self) -> str:
        """Return a run's label without the replicate: `fptt ltc digits`."""
        return self.spec.label.rpartition(" #")[0]

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the results of the runs, flat: `rule`, `rule.parts`, `training.epochs`, ..."""
        flat: dict[str, Any] = {}
        for kind in KINDS:
            component = getattr(self.spec, kind)
            flat[kind] = component.name
            flat |= {f"{kind}.{name}": value for name, value in component.options.items()}
        flat |= {f"training.{name}": value for name, value in self.spec.training.model_dump(mode="json").items()}
        return {**flat, "seed": self.spec.seed, "device": self.spec.device}

    def metrics(self) -> list[str]:
        """Return the names of all measures that have a value in some run."""
        return list(self._values)

    def values(self, metric: str) -> dict[int, float]:
        """Return the values of a measure by replicate.

        Runs that did not end `ok` have none, except for measures with a pass of their own.
        """
        return self._values.get(metric, {})

    @functools.cached_property
    def _values(self) -> dict[str, dict[int, float]]:
        """The values of each measure that has one in some run."""
        values: dict[str, dict[int, float]] = {}
        for replicate, record in self.records.items():
            for name, measure in record.measures.items():
                if measure.value is not None:
                    counting = values.setdefault(name, {})
                    if record.status == "ok" or name.startswith(MEASURED_ONCE):
                        counting[replicate] = measure.value
        return values

    def samples(self, metric: str) -> list[float]:
        """Return the raw repeats of a measure, of the first replicate that has any."""
        measures = (record.measures.get(metric) for record in self.records.values())
        return next((measure.samples for measure in measures if measure and measure.samples), [])

    def unit(self, metric: str) -> str:
        """Return the unit of a measure; empty if no run has it."""
        measures = (record.measures.get(metric) for record in self.records.values())
        return next((measure.unit for measure in measures if measure), "")

    def missing(self, metric: str) -> str:
        """Return the reason for which no run has a value."""
        measures = (record.measures.get(metric) for record in self.records.values())
        return next(
            (measure.missing for measure in measures if measure and measure.missing), "it is not in the records"
        )


class Conflict(NamedTuple):
    """A setting with different values on the two sides."""

    key: str
    base: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key}: {self.base} → {self.new}"


class Pair(NamedTuple):
    """A cell of the base and the same cell of the new results."""

    base: Cell
    new: Cell

    def conflicts(self) -> list[Conflict]:
        """Return the settings because of which the results of the two sides need not agree.

        An option that only one side has is not among them: its effect is a change of the code like any other.
        """
        ours, theirs = self.base.settings, self.new.settings
        conflicts = [
            Conflict(key, ours[key], theirs[key]) for key in ours if key in theirs and ours[key] != theirs[key]
        ]
        data = [{record.dataset_sha256 for record in cell.records.values()} - {None} for cell in self]
        if all(data) and data[0] != data[1]:
            conflicts.append(Conflict("data", *(", ".join(sorted(map(str, digests)))[:12] for digests in data)))
        return conflicts

    def changed(self) -> dict[str, tuple[str, str]]:
        """Return digests of code and versions of libraries that differ, by name: a kind, `harness`, `torch`, ..."""
        ours, theirs = _versions(self.base), _versions(self.new)
        return {name: (ours[name], theirs[name]) for name in ours if name in theirs and ours[name] != theirs[name]}


class Matching(NamedTuple):
    """Matched and unmatched cells of two sides."""

    pairs: list[Pair]
    lost: list[Cell]
    """Cells of the base that the new results do not have."""
    new: list[Cell]
    """Cells of the new results that the base does not have."""


def cells_of(records: Iterable[Record]) -> list[Cell]:
    """Group records into cells, in the order of the records."""
    cells: dict[tuple[str, ...], Cell] = {}
    for record in records:
        spec = record.spec
        key = (spec.suite, spec.scale, *spec.cell)
        cells.setdefault(key, Cell(spec)).records[spec.replicate] = record
    return list(cells.values())


def matched(base: Sequence[Cell], new: Sequence[Cell]) -> Matching:
    """Match the cells of two sides.

    Cells with equal settings are matched first, of the same suite before others; the remaining cells are matched by
    scale, components and labels, so that the conflicts of a cell with changed settings are reported.
    """
    pairs: list[Pair] = []
    lost, left = list(base), list(new)
    for key in _keys():
        waiting: dict[Hashable, list[Cell]] = defaultdict(list)
        for cell in left:
            waiting[key(cell)].append(cell)
        pairs += [Pair(cell, waiting[key(cell)].pop(0)) for cell in lost if waiting[key(cell)]]
        taken = {id(cell) for pair in pairs for cell in pair}
        lost, left = ([cell for cell in among if id(cell) not in taken] for among in (lost, left))
    place = {id(cell): i for i, cell in enumerate(base)}
    return Matching(sorted(pairs, key=lambda pair: place[id(pair.base)]), lost, left)


def bptt_of(cell: Cell, cells: Iterable[Cell]) -> Cell | None:
    """Return the cell of BPTT with the same neuron, network, dataset and suite, the reference of a cell's costs."""
    around = _around(cell.spec)
    among = [other for other in cells if other.spec.rule.name == "bptt" and _around(other.spec) == around]
    return min(among, key=lambda other: other.spec.rule.label != "bptt", default=None)


def _keys() -> Iterator[Callable[[Cell], Hashable]]:
    """Yield the keys by which cells are matched, from the strictest to the loosest."""

    def exact(cell: Cell) -> Hashable:
        flat = {key: value for key, value in cell.settings.items() if key != "seed"}
        return (cell.spec.scale, repr(sorted(flat.items(), key=lambda item: item[0])))

    def labels(cell: Cell) -> Hashable:
        names = tuple(getattr(cell.spec, kind).name for kind in KINDS)
        return (cell.spec.scale, names, cell.spec.cell)

    yield lambda cell: (cell.spec.suite, exact(cell))
    yield exact
    yield lambda cell: (cell.spec.suite, labels(cell))
    yield labels


def _around(spec: RunSpec) -> tuple[Any, ...]:
    return (spec.suite, spec.scale, spec.neuron, spec.network, spec.dataset, spec.device, spec.training.batch)


def _versions(cell: Cell) -> Mapping[str, str]:
    record = next(iter(cell.records.values()))
    names = {kind: f"{kind} {getattr(cell.spec, kind).name}" for kind in KINDS}
    code = {names.get(kind, kind): str(digest) for kind, digest in record.code.items() if kind not in GIT}
    return {**code, **record.versions}
