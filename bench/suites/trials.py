"""The trials of a suite's tuning: combinations of values of its options, equally many for each cell."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import pydantic

from throughtime.registry import KINDS
from throughtime.spec import Training
from throughtime.suites.cell import CellSpec, Labels
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


def trials_of(scaled: ScaledSuite) -> dict[Labels, list[Trial]]:
    """Return the trials of each cell of a suite at one scale; nothing for a suite without a tuning.

    Each cell has the same number of trials: `trials`, or all combinations of the cell that has the fewest. A cell with
    more combinations draws that many at random, from the suite's seed.

    Raises:
        UsageError: an option or a value is wrong, or a cell has fewer combinations than `trials`.
    """
    tune, path = scaled.settings.tune, scaled.paths["tune"]
    if tune is None or not scaled.cells:
        return {}
    changes: dict[str, list[int]] = {}
    for name, values in tune.options.items():
        if repeated := next((i for i, value in enumerate(values) if value in values[:i]), None):
            scaled.refuse(f'"{name}" repeats the value {_text(values[repeated])}', (*path, "options", name, repeated))
        changes[name] = [_override(scaled, name, value, (*path, "options", name, i)) for i, value in enumerate(values)]
    grids = {labels: _grid(tune, labels, scaled) for labels in scaled.cells}
    smallest = min(grids, key=lambda labels: len(grids[labels]))
    budget = tune.trials or len(grids[smallest])
    if len(grids[smallest]) < budget:
        what = f"the cell {' x '.join(smallest)} has {len(grids[smallest])} combinations, fewer than {budget} trials"
        scaled.refuse(what, (*path, "trials"))
    trials_by_cell = {}
    for labels, grid in grids.items():
        drawn = sorted(random.Random(scaled.settings.seed).sample(range(len(grid)), budget))
        trials_by_cell[labels] = [_trial(scaled, labels, tune, grid[i], changes) for i in drawn]
    return trials_by_cell


def _trial(
    scaled: ScaledSuite, labels: Labels, tune: Tune, point: Mapping[str, int], changes: Mapping[str, list[int]]
) -> Trial:
    overrides = (*scaled.applied.get(labels, ()), *(changes[name][i] for name, i in point.items()))
    values = {name: tune.options[name][i] for name, i in point.items()}
    return Trial(values, scaled.cell(labels, overrides)[0])


def _grid(tune: Tune, labels: Labels, scaled: ScaledSuite) -> list[dict[str, int]]:
    """Return all combinations of a cell: the index of the value of each option that concerns it."""
    cell_labels = dict(zip(KINDS, labels, strict=True))
    heads = {name: name.rpartition(".")[0] for name in tune.options}
    general = ("training", *KINDS)
    names = [name for name, head in heads.items() if head in general or cell_labels[_kind_of(scaled, head)] == head]
    points = itertools.product(*(range(len(tune.options[name])) for name in names))
    return [dict(zip(names, point, strict=True)) for point in points]


def _kind_of(scaled: ScaledSuite, head: str) -> str:
    """Return the kind that the first part of an option's name denotes, itself or by a label; empty if there is none."""
    return next((kind for kind, choices in scaled.choices.items() if head == kind or head in choices), "")


def _override(scaled: ScaledSuite, name: str, value: Any, path: Key) -> int:
    """Add an override that sets an option to a value; return its index."""
    head, _, option = name.rpartition(".")  # a label may contain dots
    kind = _kind_of(scaled, head)
    if not option or not (kind or head == "training"):
        hint = "write training.NAME, rule.NAME (likewise neuron, network, dataset) or LABEL.NAME"
        scaled.refuse(f'no option "{name}" in the suite', path[:-1], hint)
    if head == "training":
        try:
            change = Override(training=Training.model_validate({option: value}))
        except pydantic.ValidationError as error:
            raise refusal(error, scaled.document, Training, lambda loc: path) from error
    else:
        change = Override.model_validate({kind: {option: value}})
    return scaled.add_override(change, path)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace(" ", "")
