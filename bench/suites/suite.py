"""Suites: cells (rule x neuron x network x dataset), replicates and settings at each of three scales.

A suite is a YAML file. Its cells are the product of its lists, without those of `exclude`, and with those of `include`.
`overrides` change single cells; a later override takes precedence. A scale may change any key: its lists replace those
of the suite, its `training` is merged, its `overrides` are applied last. All three scales are checked on loading, and
all faults of a file are reported together. With `tune`, values of some options are chosen on the validation split
before the runs (`running/tuning.py`).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from throughtime.collector import gc_paused
from throughtime.errors import Faults, UsageError, refuse_unknown, suggestion
from throughtime.paper_folders import paper_folders, suites_in
from throughtime.registry import KINDS
from throughtime.spec import PASSES, SCALES, Pass, RunSpec, Scale, Tuning
from throughtime.suites.cell import CellSpec
from throughtime.suites.changes import apply_change, names_an_option
from throughtime.suites.scaled import ScaledSuite, component_of
from throughtime.suites.schema import ComponentEntry, Exclude, NameOrEntry, Settings, SuiteFile, named
from throughtime.suites.strict_yaml import Document, Key, checked, load
from throughtime.suites.trials import Space, Trial, spaces_of, trials_of

if TYPE_CHECKING:
    from importlib.abc import Traversable

_ENTRY: pydantic.TypeAdapter[ComponentEntry] = pydantic.TypeAdapter(NameOrEntry)


@dataclass(frozen=True)
class Suite:
    """A validated suite: settings, and cells in the order of `expand`, for each scale."""

    name: str
    summary: str
    settings: dict[Scale, Settings]
    cells: dict[Scale, list[CellSpec]]
    trials: dict[Scale, list[list[Trial]]]
    """The trials of each cell, in the order of the cells; empty without a tuning, or if a library proposes them."""
    spaces: dict[Scale, list[Space]]
    """The options under trial of each cell, in the order of the cells; empty without a tuning."""

    def expand(self, scale: Scale) -> list[RunSpec]:
        """Return all runs, by dataset, network, neuron, rule (in file order), replicate; included cells last."""
        refuse_unknown("scale", scale, self.cells)
        with gc_paused():
            return [run for cell in self.cells[scale] for run in self.runs_of(scale, cell)]

    def runs_of(self, scale: Scale, cell: CellSpec, tuning: Tuning | None = None) -> list[RunSpec]:
        """Return the runs of a cell: its replicates."""
        settings = self.settings[scale]
        passes: list[Pass] = [name for name in PASSES if name in settings.passes]
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
                tuning=tuning,
            )
            for replicate in range(settings.replicates)
        ]

    def runs_of_trial(self, scale: Scale, trial: Trial) -> list[RunSpec]:
        """Return the runs of a trial: they train only, from seeds of their own, in the suite `<name>-tune`."""
        settings, tune = self.settings[scale], self.settings[scale].tune
        assert tune is not None
        rule = trial.cell.rule.model_copy(update={"label": trial.label})
        return [
            RunSpec(
                suite=f"{self.name}-tune",
                scale=scale,
                **trial.cell._replace(rule=rule)._asdict(),
                passes=["train"],
                replicate=replicate,
                seed=settings.seed + 1,
                threads=settings.threads,
                device=settings.device,
                trial=trial.values,
            )
            for replicate in range(tune.replicates)
        ]


def suite_names() -> list[str]:
    """Sorted names of the suites of the package and of papers."""
    return sorted(_named())


def _named() -> dict[str, Traversable]:
    files = suites_in(resources.files("throughtime.suites"))
    for name, file in (item for folder in paper_folders().values() for item in folder.suites().items()):
        if files.setdefault(name, file) is not file:
            raise UsageError(f'two suites have the name "{name}"', hint=f"{files[name]} and {file}")
    return files


def suite_summary(name: str) -> str:
    """Summary line of a suite of the package or of a paper."""
    return checked(load(_named()[name]), SuiteFile).summary


def load_suite(name_or_path: str | Path, scale: Scale = "laptop", changes: Sequence[str] = ()) -> Suite:
    """Load a suite of the package or of a paper by name, or another one by the path of its .yaml file.

    Args:
        name_or_path: the suite.
        scale: the scale that `changes` concern.
        changes: settings in the form `name=value`, see `changes.py`.

    Raises:
        UsageError: the suite does not exist or is invalid; `where` is `file:line:column`.
        GroupedUsageError: the same for several faults.
    """
    document, faults = suite_document(name_or_path), Faults()
    with faults.collected():
        file = checked(document, SuiteFile)
        name = str(name_or_path)
        if name in suite_names() and file.suite != name:
            what = f'the suite of the file {name}.yaml is "{file.suite}"'
            raise UsageError(what, document.position(("suite",)), "give both one name, by which verdicts find the runs")
        for change in sorted(changes, key=names_an_option):  # a changed list may add the component of an option
            apply_change(document, scale, change)
            file = checked(document, SuiteFile)
    _check_entries(document, faults)
    faults.raise_all()
    scaled: dict[Scale, ScaledSuite] = {}
    spaces: dict[Scale, list[Space]] = {}
    trials: dict[Scale, list[list[Trial]]] = {}
    for name in SCALES:
        scale_faults = Faults()
        with scale_faults.collected():
            scaled[name] = ScaledSuite(document, file, name, scale_faults)
            spaces[name] = spaces_of(scaled[name])
            trials[name] = trials_of(spaces[name])
        faults.add_other_places(scale_faults)
    faults.raise_all()
    changed = {change.partition("=")[0] for change in changes}
    _check_patterns(document, list(scaled.values()), faults, {kind for kind in KINDS if f"{kind}s" in changed})
    faults.raise_all()
    settings: dict[Scale, Settings] = {scale: s.settings for scale, s in scaled.items()}
    return Suite(
        file.suite,
        file.summary,
        settings,
        cells={scale: [*s.cells.values()] for scale, s in scaled.items()},
        trials=trials,
        spaces=spaces,
    )


def suite_document(name_or_path: str | Path) -> Document:
    """The YAML of a suite by its name, or of one without a name by its path, not yet checked.

    Raises:
        UsageError: there is no such suite, or the file is not YAML.
    """
    name, named = str(name_or_path), _named()
    if name not in named and not name.endswith((".yaml", ".yml")):
        file = f"{name}.yaml"
        hint = f'did you mean "{file}"?' if Path(file).is_file() else suggestion(name, named)
        raise UsageError(f'no suite "{name}"', hint=hint)
    return load(named.get(name, name))


def exclusions(name: str, scale: Scale) -> list[Exclude]:
    """Return the patterns of cells that a suite leaves out at a scale, without importing its components.

    Raises:
        UsageError: there is no such suite, or its file is not one.
    """
    file = checked(suite_document(name), SuiteFile)
    own: Settings = getattr(file.scales, scale)
    return own.exclude if "exclude" in own.model_fields_set else file.exclude


def _check_entries(document: Document, faults: Faults) -> None:
    """Check the components of all lists, also in a file that has other faults."""
    scales = document.data.get("scales") if isinstance(document.data, dict) else None
    sections: list[tuple[Key, Any]] = [((), document.data)]
    sections += [(("scales", scale), scales[scale]) for scale in scales or () if isinstance(scales, dict)]
    for path, section in sections:
        for kind in KINDS if isinstance(section, dict) else ():
            entries = section.get(f"{kind}s")
            for i, entry in enumerate(entries if isinstance(entries, list) else ()):
                with faults.collected(), suppress(pydantic.ValidationError):  # `checked` reports it
                    component_of(document, kind, _ENTRY.validate_python(entry), (*path, f"{kind}s", i))


def _check_patterns(document: Document, scaled: list[ScaledSuite], faults: Faults, changed: Set[str]) -> None:
    """Refuse patterns of `exclude` and `when` with unknown labels, and those that match no cell at any scale.

    A pattern of the whole suite may match no cell at a scale with shorter lists, or where a change from outside has
    replaced the list of a kind (`changed`).
    """
    for path, when in {path: when for s in scaled for path, (when, _) in s.matched.items()}.items():
        within, unknown = [s for s in scaled if path in s.matched], any(getattr(when, kind) for kind in changed)
        for kind in [kind for kind in KINDS if kind not in changed]:
            known = {label for s in within for label in s.choices[kind]}
            for i, label in enumerate(getattr(when, kind) or ()):
                if not any(named(each, [label]) for each in known):
                    where = document.position((*path, kind, i))
                    faults.add(UsageError(f'no {kind} "{label}" in the suite', where, suggestion(label, known)))
                    unknown = True
        if not unknown and not any(s.matched[path][1] for s in within):
            faults.add(UsageError("this matches no cell", document.position(path)))
