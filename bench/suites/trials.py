"""The trials of a suite's tuning: values of its options, equally many for each cell.

The trials of a grid are known when the suite is loaded. A library proposes its trials later, from a cell's `Space`.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic

from throughtime.registry import KINDS
from throughtime.spec import Span, Training
from throughtime.suites.cell import CellSpec, Labels
from throughtime.suites.changes import meets
from throughtime.suites.scaled import ScaledSuite
from throughtime.suites.schema import Override, Tune
from throughtime.suites.strict_yaml import Key, refusal


class Trial(NamedTuple):
    """One combination of values under trial."""

    values: dict[str, Any]
    """Value of each option, by its name in `tune`."""
    cell: CellSpec
    """The cell with these values, under its own labels."""

    @property
    def label(self) -> str:
        """The label of its rule in the suite of trials, such as `fptt learning_rate=0.01`."""
        shown = (f"{name.rpartition('.')[2]}={_text(value)}" for name, value in self.values.items())
        return " ".join([self.cell.rule.label, *shown])


@dataclass(frozen=True)
class Space:
    """The options under trial that concern a cell, each with its values or the span of its numbers."""

    scaled: ScaledSuite
    labels: Labels
    options: dict[str, list[Any] | Span]

    @property
    def size(self) -> float:
        """Number of combinations of values."""
        return math.prod(math.inf if isinstance(v, Span) else len(v) for v in self.options.values())

    def grid(self, i: int) -> dict[str, Any]:
        """Return combination i of the values of lists; the last option changes first."""
        values = {}
        for name, listed in reversed(self.options.items()):
            assert isinstance(listed, list)
            i, place = divmod(i, len(listed))
            values[name] = listed[place]
        return {name: values[name] for name in self.options}

    def trial(self, values: Mapping[str, Any]) -> Trial:
        """Return the trial of some values.

        Raises:
            UsageError: a value is wrong.
        """
        changes = (_override(self.scaled, name, value) for name, value in values.items())
        overrides = (*self.scaled.applied.get(self.labels, ()), *changes)
        return Trial(dict(values), self.scaled.cell(self.labels, overrides)[0])


def spaces_of(scaled: ScaledSuite) -> list[Space]:
    """Return the space of each cell of a suite at one scale; nothing for a suite without a tuning.

    Raises:
        UsageError: an option or a value is wrong, or a cell has fewer combinations than `trials`.
    """
    tune, path = scaled.settings.tune, scaled.paths["tune"]
    if tune is None or not scaled.cells:
        return []
    heads = (name.rpartition(".")[0] for name in tune.options)
    kinds = {head: kind for head in heads if (kind := _kind_of(scaled, head))}
    for one, another in itertools.combinations(tune.options, 2):
        if meets(one, another, kinds):
            scaled.refuse(f'"{another}" is the option of "{one}", too', (*path, "options", another))
    for name, values in tune.options.items():
        where = (*path, "options", name)
        if isinstance(values, Span) and tune.sampler == "grid":
            scaled.refuse(f'"{name}": "steps" is missing in its range', where, "only `sampler: optuna` does without")
        listed = values if isinstance(values, list) else []
        for i, value in enumerate(listed):
            if value in listed[:i]:
                scaled.refuse(f'"{name}" repeats the value {_text(value)}', (*where, i))
        for value in _checked_values(values):
            _override(scaled, name, value)
    if tune.sampler != "grid" and tune.trials is None:
        scaled.refuse(f'`sampler: {tune.sampler}` needs "trials"', path, "for example trials: 30")
    spaces = [Space(scaled, labels, _options(tune, labels, scaled)) for labels in scaled.cells]
    smallest = min(spaces, key=lambda space: space.size)
    if tune.trials and smallest.size < tune.trials:
        what = (
            f"the cell {' x '.join(smallest.labels)} has {smallest.size} combinations, fewer than {tune.trials} trials"
        )
        scaled.refuse(what, (*path, "trials"))
    for space in spaces:
        for name, values in space.options.items():
            for value in _checked_values(values):
                space.trial({name: value})
    return spaces


def trials_of(spaces: Sequence[Space]) -> list[list[Trial]]:
    """Return the trials of each cell of a grid; nothing if a library proposes them.

    Each cell has the same number of trials: `trials`, or all combinations of the cell that has the fewest. A cell with
    more combinations draws that many at random, from the suite's seed.
    """
    settings = spaces[0].scaled.settings if spaces else None
    if settings is None or settings.tune is None or settings.tune.sampler != "grid":
        return []
    budget = settings.tune.trials or min(int(space.size) for space in spaces)
    drawn = (sorted(random.Random(settings.seed).sample(range(int(space.size)), budget)) for space in spaces)
    return [[space.trial(space.grid(i)) for i in sample] for space, sample in zip(spaces, drawn, strict=True)]


def _checked_values(values: list[Any] | Span) -> list[Any]:
    """Return the values of an option that are checked before the first trial: all, or the ends of a span."""
    return [values.low, values.high] if isinstance(values, Span) else values


def _options(tune: Tune, labels: Labels, scaled: ScaledSuite) -> dict[str, list[Any] | Span]:
    """Return the options that concern a cell."""
    cell_labels = dict(zip(KINDS, labels, strict=True))
    heads = {name: name.rpartition(".")[0] for name in tune.options}
    general = ("training", *KINDS)
    names = [name for name, head in heads.items() if head in general or cell_labels[_kind_of(scaled, head)] == head]
    return {name: tune.options[name] for name in names}


def _kind_of(scaled: ScaledSuite, head: str) -> str:
    """Return the kind that the first part of an option's name denotes, itself or by a label; empty if there is none."""
    return next((kind for kind, choices in scaled.choices.items() if head == kind or head in choices), "")


def _override(scaled: ScaledSuite, name: str, value: Any) -> int:
    """Return the index of the override that sets an option to a value; it is added when the value is new."""
    assert scaled.settings.tune is not None
    tried, key = scaled.settings.tune.options[name], (name, json.dumps(value))
    if key in scaled.tried:
        return scaled.tried[key]
    path: Key = (*scaled.paths["tune"], "options", name)
    path = (*path, tried.index(value)) if isinstance(tried, list) else path
    head, _, option = name.rpartition(".")  # a label may contain dots
    kind = _kind_of(scaled, head)
    if not option or not (kind or head == "training"):
        hint = "write training.NAME, rule.NAME (likewise neuron, network, dataset) or LABEL.NAME"
        scaled.refuse(f'no option "{name}" in the suite', (*scaled.paths["tune"], "options", name), hint)
    if head == "training":
        try:
            change = Override(training=Training.model_validate({option: value}))
        except pydantic.ValidationError as error:
            raise refusal(error, scaled.document, Training, lambda loc: path) from error
    else:
        change = Override.model_validate({kind: {option: value}})
    index = scaled.tried[key] = scaled.add_override(change, path)
    return index


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace(" ", "")
