"""Cells of runs: selection and order of the runs, and the names of rules and neurons in tables and figures."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

import pandas as pd

from throughtime.display import Display
from throughtime.records.record import Status
from throughtime.records.results import KEYS, Results, rows_with
from throughtime.registry import ALGORITHMS, NEURONS, Registry
from throughtime.reports.once import once
from throughtime.spec import SCALES

FAILED: tuple[str, ...] = tuple(status for status in get_args(Status) if status != "ok")
TASK = ["dataset", "network", "neuron"]
"""Columns that identify a task: rules are compared on the same dataset, network and neuron."""
TASK_KEYS = ["suite", "scale", *TASK]
"""Columns that identify a task among the runs of several suites."""


@once
def runs_of(results: Results, suite: str | None = None, scale: str | None = None) -> pd.DataFrame:
    """Return the runs of a suite and a scale, or all runs, in reading order; see `ordered`."""
    if suite is None and scale is None:
        return ordered(results.frame)
    runs, wanted = runs_of(results), {"suite": suite, "scale": scale}
    named = {column: value for column, value in wanted.items() if value is not None}
    return runs[rows_with(runs, **named)].reset_index(drop=True)


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort rows in reading order: scales from tiny to paper, rules and neurons by rank, names by their numbers."""
    by = [*KEYS, "replicate"] if "replicate" in frame else KEYS
    return frame.iloc[reading_order({key: frame[key].tolist() for key in by})].reset_index(drop=True)


def reading_order(columns: Mapping[str, Sequence[Any]]) -> list[int]:
    """Return the places of rows in reading order from the columns by which they are sorted."""
    ranks: dict[str, Callable[[Any], Any]] = {"scale": SCALES.index, "rule": rule_rank, "neuron": neuron_rank}
    sorted_by = []
    for key, values in columns.items():
        rank = {value: ranks.get(key, natural)(value) for value in set(values)}
        place = {value: i for i, value in enumerate(sorted(rank, key=lambda value: rank[value]))}
        sorted_by.append([place[value] for value in values])
    keys = list(zip(*sorted_by, strict=True))
    return sorted(range(len(keys)), key=keys.__getitem__)


def natural(label: Any) -> list[tuple[int, int, str]]:
    """Return a sort key that puts K=5 before K=10; those of different labels differ, as α=0.1 and α=0.01."""
    parts = re.findall(r"\d+|\D+", str(label))
    return [*((0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in parts), (-1, 0, str(label))]


def rule_rank(label: str) -> tuple[float, list[tuple[int, int, str]]]:
    """Return the sort key of a rule: `tbptt K=10` has the order of `tbptt`."""
    return _rank(label, ALGORITHMS)


def neuron_rank(label: str) -> tuple[float, list[tuple[int, int, str]]]:
    """Return the sort key of a neuron."""
    return _rank(label, NEURONS)


def _rank(label: str, registry: Registry) -> tuple[float, list[tuple[int, int, str]]]:
    order = _display(label, registry).order
    return math.inf if order is None else order, natural(label)


def rule_title(label: str) -> str:
    """Return a rule's name in tables and figures: its registered title, or the label in the suite."""
    return _title(label, ALGORITHMS)


def rule_family(label: str) -> str:
    """Return the registered rule of which a label names a variant, `tbptt` for `tbptt K=10`, or else the label."""
    return _display(label, ALGORITHMS).name


def neuron_label(neuron: str, network: str) -> str:
    """Return a neuron's name in tables and figures, with the network unless it is `recurrent`."""
    title = _title(neuron, NEURONS)
    return title if network == "recurrent" else f"{title}, {network}"


def _title(label: str, registry: Registry) -> str:
    display = _display(label, registry)
    return display.title if display.title is not None and display.name == label else label


def _display(label: str, registry: Registry) -> Display:
    """Return the display of the component with the longest name that is a prefix of the label, as `tbptt` of
    `tbptt K=10`. Punctuation and case do not matter; without such a component, return a display of the label."""
    displays = registry.displays()
    name = _longest_prefix(label, tuple(displays))
    return Display(label) if name is None else displays[name]


@functools.cache
def _longest_prefix(label: str, names: tuple[str, ...]) -> str | None:
    return max((name for name in names if _plain(label).startswith(_plain(name))), key=len, default=None)


@functools.cache
def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def anchor(key: Iterable[str]) -> str:
    """Return the name of a cell's section of the page, from its `KEYS`."""
    return "cell-" + hashlib.sha256("\x1f".join(key).encode()).hexdigest()[:10]


def slug(text: str) -> str:
    """Convert text to a part of a file name."""
    return re.sub(r"[^\w.-]+", "-", text).strip(".-") or "unnamed"


def groups(frame: pd.DataFrame, by: list[str]) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """Group a frame in the order of its rows; keys are always tuples."""
    grouped: Any = frame.groupby(by, sort=False) if len(frame) else ()  # pandas types a key as any hashable
    return list(grouped)


def extent(numbers: Iterable[Any]) -> str:
    """Return the smallest and the largest of some numbers as `1–3`, or `3` if they are equal."""
    known = list(numbers)
    return "–".join(map(str, dict.fromkeys((min(known), max(known)))))


def older(n: int) -> str:
    """Return a sentence on the n superseded runs of a cell, which do not count; empty if there are none."""
    return f"{n} older run{'s' * (n > 1)} left out: repeated since, or of other code, settings or versions" * (n > 0)


def one_line(text: Any) -> str:
    """Return text without line breaks and control characters, for a table cell."""
    plain = str(text)
    if not plain.isprintable():
        plain = "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in plain)
    return " ".join(plain.split())
