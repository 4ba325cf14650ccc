"""A suite at one scale: its settings, and its cells after exclusions, inclusions and overrides."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import pydantic

from throughtime.errors import Faults, UsageError
from throughtime.registry import KINDS
from throughtime.spec import ComponentSpec, Scale, Training
from throughtime.suites.schema import Entry, Settings, SuiteFile, When
from throughtime.suites.strict_yaml import Document, Key, refusal

Labels = tuple[str, str, str, str]
"""Key of a cell: the labels of its rule, neuron, network and dataset."""


class Cell(NamedTuple):
    """Components and training of a cell; its replicates share them."""

    rule: ComponentSpec
    neuron: ComponentSpec
    network: ComponentSpec
    dataset: ComponentSpec
    training: Training


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
        if self.settings.keep_weights and "train" not in self.settings.passes:
            self._refuse('"keep_weights" needs the pass "train"', self.paths["keep_weights"])
        self.override_paths: list[Key] = [("overrides", i) for i in range(len(file.overrides))]
        self.override_paths += [("scales", scale, "overrides", i) for i in range(len(own.overrides))]
        self.trainings: list[tuple[Training, Key]] = [
            (file.training, ("training",)),
            (own.training, ("scales", scale, "training")),
        ]
        """Training settings of the suite and then of the scale, each with its path in the file."""
        self.matched: dict[Key, tuple[When, bool]] = {}
        """Each pattern by its path in the file, and whether it matches a cell of this scale."""
        self.choices: dict[str, dict[str, tuple[Entry, Key]]] = {kind: self._listed(kind) for kind in KINDS}
        """Label -> entry and its path in the file, for each kind of component."""
        labelled = self._labelled()
        if not labelled:
            self._refuse(f'every cell is excluded at the scale "{scale}"', self.paths["exclude"])
        self.cells = self._cells(labelled)

    def _refuse(self, what: str, path: Key, hint: str | None = None) -> NoReturn:
        raise UsageError(what, self.document.position(path), hint)

    def _listed(self, kind: str) -> dict[str, tuple[Entry, Key]]:
        found: dict[str, tuple[Entry, Key]] = {}
        for i, entry in enumerate(getattr(self.settings, f"{kind}s")):
            path = (*self.paths[f"{kind}s"], i)
            with self.faults.collected():
                if entry.shown in found:
                    self._refuse(f'the {kind} "{entry.shown}" comes twice', path, "tell one apart with `label:`")
                found[entry.shown] = entry, path
        return found

    def _labelled(self) -> list[Labels]:
        """Return all combinations of the lists, without the excluded cells, and then the included ones."""
        order = (self.choices[kind] for kind in ("dataset", "network", "neuron", "rule"))
        matrix: list[Any] = [labels[::-1] for labels in itertools.product(*order)]
        cells = dict.fromkeys(matrix)
        for i, when in enumerate(self.settings.exclude):
            path = (*self.paths["exclude"], i)
            if not when.model_fields_set:
                self._refuse(f"this excludes everything; name at least one of {', '.join(KINDS)}", path)
            hit = _matching(when, matrix)
            self.matched[path] = when, bool(hit)
            for labels in hit:
                cells.pop(labels, None)
        networks = list(self.choices["network"])
        for i, include in enumerate(self.settings.include):
            path = (*self.paths["include"], i)
            with self.faults.collected():
                if include.network is None and len(networks) > 1:
                    self._refuse('"network" is missing', path, f"the suite has several: {', '.join(networks)}")
                parts = ((kind, getattr(include, kind)) for kind in KINDS)
                included: Any = tuple(self._included(kind, e, (*path, kind)) if e else networks[0] for kind, e in parts)
                if included in cells:
                    self._refuse(f"the cell {' x '.join(included)} comes twice", path)
                cells[included] = None
        return list(cells)

    def _included(self, kind: str, entry: Entry, path: Key) -> str:
        """Return the label of a component of an included cell; add a new one to the choices."""
        known = self.choices[kind].setdefault(entry.shown, (entry, path))
        plain = entry.label is None and not entry.model_extra
        if not plain and component_of(self.document, kind, entry, path) != component_of(self.document, kind, *known):
            self._refuse(f'the {kind} "{entry.shown}" has other options', path, "tell this one apart with `label:`")
        return entry.shown

    def _cells(self, labelled: list[Labels]) -> list[Cell]:
        """Return components and training of each cell after its overrides; cells share equal parts."""
        overrides = self.settings.overrides
        applied: dict[Labels, tuple[int, ...]] = dict.fromkeys(labelled, ())
        for i, override in enumerate(overrides):
            hit = _matching(override.when, labelled)
            path: Key = (*self.override_paths[i], "when")
            self.matched[path] = override.when, bool(hit)
            for labels in hit:
                applied[labels] += (i,)

        @functools.cache
        def component(kind: str, label: str, those: tuple[int, ...]) -> tuple[ComponentSpec, str]:
            changes = [(getattr(overrides[i], kind), (*self.override_paths[i], kind)) for i in those]
            spec = component_of(self.document, kind, *self.choices[kind][label], changes)
            return spec, json.dumps([spec.name, spec.options], sort_keys=True)

        @functools.cache
        def training(those: tuple[int, ...]) -> tuple[Training, str]:
            spec = self._training(those)
            return spec, spec.model_dump_json()

        @functools.cache
        def changing(those: tuple[int, ...]) -> list[tuple[int, ...]]:
            return [tuple(i for i in those if getattr(overrides[i], kind)) for kind in (*KINDS, "training")]

        cells: list[Cell] = []
        first: dict[tuple[str, ...], Labels] = {}
        for labels, those in applied.items():
            with self.faults.collected():
                *of, of_training = changing(those)
                parts, (trained, contents) = [*map(component, KINDS, labels, of)], training(of_training)
                twin = first.setdefault((*(content for _, content in parts), contents), labels)
                if twin is not labels:
                    kind, other = next((kind, b) for kind, a, b in zip(KINDS, twin, labels, strict=True) if a != b)
                    what = f"the cells {' x '.join(twin)} and {' x '.join(labels)} have the same options and training"
                    self._refuse(what, self.choices[kind][other][1])
                rule, neuron, network, dataset = (spec for spec, _ in parts)
                cells.append(Cell(rule, neuron, network, dataset, trained))
        return cells

    def _training(self, overrides: tuple[int, ...]) -> Training:
        """Merge the training settings of suite, scale and these overrides, in this order, and check the result."""
        settings = list(self.trainings)
        for i in overrides:
            if (training := self.settings.overrides[i].training) is not None:
                settings.append((training, (*self.override_paths[i], "training")))
        merged = _merged([training for training, _ in settings])
        for i, epoch in enumerate(merged.alignment):
            if epoch > merged.epochs:
                path = [path for training, path in settings if "alignment" in training.model_fields_set][-1]
                what = f'"alignment" has epoch {epoch}; at the scale "{self.scale}" the last epoch is {merged.epochs}'
                self._refuse(what, (*path, "alignment", i))
        return merged


def component_of(
    document: Document, kind: str, entry: Entry, path: Key, changes: Sequence[tuple[dict[str, Any], Key]] = ()
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
    for i, kind in enumerate(KINDS):
        if (among := getattr(when, kind)) is not None:
            cells = [labels for labels in cells if labels[i] in among]
    return cells


def _merged(settings: list[Training]) -> Training:
    """Merge settings: the last one that sets a field explicitly determines it."""
    merged: dict[str, Any] = {}
    for one in settings:
        merged |= {name: getattr(one, name) for name in one.model_fields_set}
    return Training(**merged)
