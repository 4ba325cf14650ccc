"""A suite at one scale: its settings, and its cells after exclusions, inclusions and overrides."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import pydantic

from throughtime.errors import Faults, UsageError
from throughtime.registry import KINDS
from throughtime.spec import ComponentSpec, Scale, Training
from throughtime.suites.cell import CellSpec, Labels
from throughtime.suites.schema import ComponentEntry, Override, Settings, SuiteFile, When
from throughtime.suites.strict_yaml import Document, Key, refusal
from throughtime.suites.training_faults import training_faults


class ScaledSuite:
    """A suite at one scale: its settings and the cells that they define. Faults are collected as far as possible."""

    def __init__(self, document: Document, file: SuiteFile, scale: Scale, faults: Faults) -> None:
        self.document, self.scale, self.faults = document, scale, faults
        own: Settings = getattr(file.scales, scale)
        replaced = own.model_fields_set
        self.paths = {key: ("scales", scale, key) if key in replaced else (key,) for key in Settings.model_fields}
        self.settings = file.model_copy(
            update={
                **{key: getattr(own, key) for key in replaced},
                "training": _merged([file.training, own.training]),
                "overrides": [*file.overrides, *own.overrides],
            }
        )
        for key in ("keep_weights", "tune"):
            if getattr(self.settings, key) and "train" not in self.settings.passes:
                self.refuse(f'"{key}" needs the pass "train"', self.paths[key])
        self.override_paths: list[Key] = [("overrides", i) for i in range(len(file.overrides))]
        self.override_paths += [("scales", scale, "overrides", i) for i in range(len(own.overrides))]
        self.trainings: list[tuple[Training, Key]] = [
            (file.training, ("training",)),
            (own.training, ("scales", scale, "training")),
        ]
        """Training settings of the suite and then of the scale, each with its path in the file."""
        self.matched: dict[Key, tuple[When, bool]] = {}
        """Each pattern by its path in the file, and whether it matches a cell of this scale."""
        self.choices: dict[str, dict[str, tuple[ComponentEntry, Key]]] = {kind: self._listed(kind) for kind in KINDS}
        """Label -> entry and its path in the file, for each kind of component."""
        labelled = self._labelled()
        if not labelled:
            self.refuse(f'every cell is excluded at the scale "{scale}"', self.paths["exclude"])
        self.overrides: list[Override] = list(self.settings.overrides)
        self.applied: dict[Labels, tuple[int, ...]] = {}
        """Indices of the overrides of each cell."""
        self.tried: dict[tuple[str, str], int] = {}
        """Indices of the overrides of a tuning, by the name of an option and the JSON of its value."""
        self._built: dict[Any, Any] = {}
        self.cells = self._cells(labelled)

    def refuse(self, what: str, path: Key, hint: str | None = None) -> NoReturn:
        raise UsageError(what, self.document.position(path), hint)

    def _listed(self, kind: str) -> dict[str, tuple[ComponentEntry, Key]]:
        entries: dict[str, tuple[ComponentEntry, Key]] = {}
        for i, entry in enumerate(getattr(self.settings, f"{kind}s")):
            path = (*self.paths[f"{kind}s"], i)
            with self.faults.collected():
                if entry.shown in entries:
                    self.refuse(f'the {kind} "{entry.shown}" comes twice', path, "tell one apart with `label:`")
                entries[entry.shown] = entry, path
        return entries

    def _labelled(self) -> list[Labels]:
        """Return all combinations of the lists, without the excluded cells, and then the included ones."""
        order = (self.choices[kind] for kind in ("dataset", "network", "neuron", "rule"))
        matrix: list[Any] = [labels[::-1] for labels in itertools.product(*order)]
        cells = dict.fromkeys(matrix)
        for i, when in enumerate(self.settings.exclude):
            path = (*self.paths["exclude"], i)
            if not when.model_fields_set - {"reason"}:
                self.refuse(f"this excludes everything; name at least one of {', '.join(KINDS)}", path)
            hit = _matching(when, matrix)
            self.matched[path] = when, bool(hit)
            for labels in hit:
                cells.pop(labels, None)
        networks = list(self.choices["network"])
        for i, include in enumerate(self.settings.include):
            path = (*self.paths["include"], i)
            with self.faults.collected():
                if include.network is None and len(networks) > 1:
                    self.refuse('"network" is missing', path, f"the suite has several: {', '.join(networks)}")
                parts = ((kind, getattr(include, kind)) for kind in KINDS)
                included: Any = tuple(self._included(kind, e, (*path, kind)) if e else networks[0] for kind, e in parts)
                if included in cells:
                    self.refuse(f"the cell {' x '.join(included)} comes twice", path)
                cells[included] = None
        return list(cells)

    def _included(self, kind: str, entry: ComponentEntry, path: Key) -> str:
        """Return the label of a component of an included cell; add a new one to the choices."""
        known = self.choices[kind].setdefault(entry.shown, (entry, path))
        plain = entry.label is None and not entry.model_extra
        if not plain and component_of(self.document, kind, entry, path) != component_of(self.document, kind, *known):
            self.refuse(f'the {kind} "{entry.shown}" has other options', path, "tell this one apart with `label:`")
        return entry.shown

    def _cells(self, labelled: list[Labels]) -> dict[Labels, CellSpec]:
        """Return components and training of each cell after its overrides; cells share equal parts."""
        for i, override in enumerate(self.settings.overrides):
            hit = _matching(override.when, labelled)
            path: Key = (*self.override_paths[i], "when")
            self.matched[path] = override.when, bool(hit)
            for labels in hit:
                self.applied[labels] = (*self.applied.get(labels, ()), i)
        cells: dict[Labels, CellSpec] = {}
        first: dict[tuple[str, ...], Labels] = {}
        for labels in labelled:
            with self.faults.collected():
                cell, contents = self.cell(labels, self.applied.get(labels, ()))
                twin = first.setdefault(contents, labels)
                if twin is not labels:
                    kind, other = next((kind, b) for kind, a, b in zip(KINDS, twin, labels, strict=True) if a != b)
                    what = f"the cells {' x '.join(twin)} and {' x '.join(labels)} have the same options and training"
                    self.refuse(what, self.choices[kind][other][1])
                cells[labels] = cell
        return cells

    def cell(self, labels: Labels, overrides: tuple[int, ...]) -> tuple[CellSpec, tuple[str, ...]]:
        """Return a cell with some of the overrides, by their indices, and the contents of its parts as JSON."""
        parts = []
        for kind, label in zip(KINDS, labels, strict=True):
            indices = tuple(i for i in overrides if getattr(self.overrides[i], kind))
            parts.append(self._once((kind, label, indices), functools.partial(self._component, kind, label, indices)))
        indices = tuple(i for i in overrides if self.overrides[i].training)
        trained, contents = self._once(("training", indices), functools.partial(self._training, indices))
        rule, neuron, network, dataset = (spec for spec, _ in parts)
        return CellSpec(rule, neuron, network, dataset, trained), (*(content for _, content in parts), contents)

    def add_override(self, override: Override, path: Key) -> int:
        """Add an override that no cell has yet; return its index."""
        self.overrides.append(override)
        self.override_paths.append(path)
        return len(self.overrides) - 1

    def _once(self, key: Any, build: Callable[[], Any]) -> Any:
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]

    def _component(self, kind: str, label: str, overrides: tuple[int, ...]) -> tuple[ComponentSpec, str]:
        changes = [(getattr(self.overrides[i], kind), (*self.override_paths[i], kind)) for i in overrides]
        spec = component_of(self.document, kind, *self.choices[kind][label], changes)
        return spec, json.dumps([spec.name, spec.options], sort_keys=True)

    def _training(self, overrides: tuple[int, ...]) -> tuple[Training, str]:
        """Merge the training settings of suite, scale and these overrides, in this order, and check the result."""
        settings = list(self.trainings)
        for i in overrides:
            if (training := self.overrides[i].training) is not None:
                settings.append((training, (*self.override_paths[i], "training")))
        merged = _merged([training for training, _ in settings])
        for what, key in training_faults(merged, self.scale):
            path = [path for training, path in settings if key[0] in training.model_fields_set][-1]
            self.refuse(what, (*path, *key))
        return merged, merged.model_dump_json()


def component_of(
    document: Document, kind: str, entry: ComponentEntry, path: Key, changes: Sequence[tuple[dict[str, Any], Key]] = ()
) -> ComponentSpec:
    """Return a component with all its options: defaults, those of its entry, and those of overrides.

    Args:
        document: the file, for the positions of errors.
        kind: key of `KINDS`.
        entry: the entry in the file.
        path: path of the entry.
        changes: options of overrides, each with its path.
    """
    options = dict(entry.model_extra or {})
    place: dict[str | int, Key] = dict.fromkeys(options, path)
    for changed, where in changes:
        options |= changed
        place |= dict.fromkeys(changed, where)
    try:
        known = KINDS[kind][entry.name]
        return ComponentSpec(name=entry.name, options=known.checked(options), label=entry.shown)
    except pydantic.ValidationError as error:
        raise refusal(error, document, known.options, lambda loc: place.get(loc[0], path) + loc, known.name) from error
    except UsageError as error:
        raise UsageError(error.what, error.where or document.position((*path, "name")), error.hint) from error


def _matching(when: When, cells: list[Labels]) -> list[Labels]:
    """Return the cells that a pattern matches."""
    return [labels for labels in cells if when.matches(labels)]


def _merged(settings: list[Training]) -> Training:
    """Merge settings: the last one that sets a field explicitly determines it."""
    merged: dict[str, Any] = {}
    for training in settings:
        merged |= {name: getattr(training, name) for name in training.model_fields_set}
    return Training(**merged)
