"""Suites: cells (rule x neuron x network x dataset), replicates and settings at each of three scales.

A suite is a YAML file. Its cells are the product of its lists, without those of `exclude`, and with those of `include`.
`overrides` change single cells; a later override takes precedence. A scale may change any key: its lists replace those
of the suite, its `training` is merged, its `overrides` are applied last. All three scales are checked on loading.
"""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pydantic

from throughtime.errors import UsageError, suggestion
from throughtime.gc_paused import gc_paused
from throughtime.registry import KINDS
from throughtime.spec import PASSES, SCALES, ComponentSpec, Pass, RunSpec, Scale, Training
from throughtime.suites.schema import Entry, Settings, SuiteFile, When
from throughtime.suites.strict_yaml import Document, Key, checked, load, refusal

if TYPE_CHECKING:
    from importlib.abc import Traversable

Labels = tuple[str, str, str, str]
"""Key of a cell: the labels of its rule, neuron, network and dataset."""


class Cell(NamedTuple):
    """Components and training of a cell; its replicates share them."""

    rule: ComponentSpec
    neuron: ComponentSpec
    network: ComponentSpec
    dataset: ComponentSpec
    training: Training


@dataclass(frozen=True)
class Suite:
    """A validated suite: settings, and cells in the order of `expand`, for each scale."""

    name: str
    summary: str
    settings: dict[Scale, Settings]
    cells: dict[Scale, list[Cell]]

    def expand(self, scale: Scale) -> list[RunSpec]:
        """Return all runs, by dataset, network, neuron, rule (in file order), replicate; included cells last."""
        if scale not in self.cells:
            raise UsageError(f'no scale "{scale}"', hint=suggestion(scale, SCALES))
        settings = self.settings[scale]
        passes: list[Pass] = [name for name in PASSES if name in settings.passes]
        with gc_paused():
            return [
                RunSpec.model_construct(  # its parts are valid, and validating up to 100 000 runs again takes long
                    suite=self.name,
                    scale=scale,
                    **cell._asdict(),
                    passes=passes,
                    replicate=replicate,
                    seed=settings.seed,
                    threads=settings.threads,
                    device=settings.device,
                    keep_weights=settings.keep_weights,
                )
                for cell in self.cells[scale]
                for replicate in range(settings.replicates)
            ]


def suite_names() -> list[str]:
    """Sorted names of the suites that the package contains."""
    return sorted(_shipped())


def _shipped() -> dict[str, Traversable]:
    suites = resources.files("throughtime.suites").iterdir()
    recipes = resources.files("throughtime.reports").iterdir()
    found = {file.name.removesuffix(".yaml"): file for file in suites if file.name.endswith(".yaml")}
    return found | {recipe.name: file for recipe in recipes if (file := recipe / "suite.yaml").is_file()}


def suite_summary(name: str) -> str:
    """Summary line of a suite of the package."""
    return checked(load(_shipped()[name]), SuiteFile).summary


def load_suite(name_or_path: str | Path) -> Suite:
    """Load a suite of the package by name, or another one by the path of its .yaml file.

    Raises:
        UsageError: the suite does not exist or is invalid; `where` is `file:line:column`.
    """
    document = suite_document(name_or_path)
    file = checked(document, SuiteFile)
    scaled = {scale: _Scaled(document, file, scale) for scale in SCALES}
    _check_patterns(document, list(scaled.values()))
    settings: dict[Scale, Settings] = {scale: s.settings for scale, s in scaled.items()}
    return Suite(file.suite, file.summary, settings, {scale: s.cells for scale, s in scaled.items()})


def suite_document(name_or_path: str | Path) -> Document:
    """The YAML of a shipped suite by its name, or of any other by its path, not yet checked.

    Raises:
        UsageError: there is no such suite, or the file is not YAML.
    """
    name, shipped = str(name_or_path), _shipped()
    if name not in shipped and not name.endswith((".yaml", ".yml")):
        raise UsageError(f'no suite "{name}"', hint=suggestion(name, shipped))
    return load(shipped.get(name, name))


def _check_patterns(document: Document, scaled: list[_Scaled]) -> None:
    """Refuse patterns of `exclude` and `when` with unknown labels, and those that match no cell at any scale.

    A pattern of the whole suite may match no cell at a scale with shorter lists.
    """
    for path, when in {path: when for s in scaled for path, (when, _) in s.matched.items()}.items():
        within = [s for s in scaled if path in s.matched]
        for kind in KINDS:
            known = {label for s in within for label in s.choices[kind]}
            for i, label in enumerate(getattr(when, kind) or ()):
                if label not in known:
                    where = document.position((*path, kind, i))
                    raise UsageError(f'no {kind} "{label}" in the suite', where, suggestion(label, known))
        if not any(s.matched[path][1] for s in within):
            raise UsageError("this matches no cell", document.position(path))


class _Scaled:
    """A suite at one scale: its settings and the cells that they define."""

    def __init__(self, document: Document, file: SuiteFile, scale: Scale) -> None:
        self.document, self.scale = document, scale
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
            self._component(kind, entry, path)
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
            if include.network is None and len(networks) > 1:
                self._refuse('"network" is missing', path, f"the suite has several: {', '.join(networks)}")
            parts = ((kind, getattr(include, kind)) for kind in KINDS)
            included: Any = tuple(self._chosen(kind, e, (*path, kind)) if e else networks[0] for kind, e in parts)
            if included in cells:
                self._refuse(f"the cell {' x '.join(included)} comes twice", path)
            cells[included] = None
        return list(cells)

    def _chosen(self, kind: str, entry: Entry, path: Key) -> str:
        """Return the label of a component of an included cell; add a new one to the choices."""
        known = self.choices[kind].setdefault(entry.shown, (entry, path))
        plain = entry.label is None and not entry.model_extra
        if not plain and self._component(kind, entry, path) != self._component(kind, *known):
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
            spec = self._component(kind, *self.choices[kind][label], those)
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

    def _component(self, kind: str, entry: Entry, path: Key, overrides: tuple[int, ...] = ()) -> ComponentSpec:
        """Return the component with all its options: defaults, those of the file, and overrides."""
        options = dict(entry.model_extra or {})
        place: dict[str | int, Key] = dict.fromkeys(options, path)
        for i in overrides:
            changed = getattr(self.settings.overrides[i], kind)
            options |= changed
            place |= dict.fromkeys(changed, (*self.override_paths[i], kind))
        try:
            known = KINDS[kind][entry.name]
            return ComponentSpec(name=entry.name, options=known.checked(options), label=entry.shown)
        except pydantic.ValidationError as error:
            raise refusal(
                error, self.document, known.options, lambda loc: place.get(loc[0], path) + loc, known.name
            ) from error
        except UsageError as error:
            raise UsageError(error.what, error.where or self.document.position((*path, "name")), error.hint) from error


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
