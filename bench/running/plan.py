"""The plan: of each run its id, whether its rule supports it, and what the store has of it already."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from throughtime.errors import UsageError, first_line
from throughtime.records.code_digest import code_of, components_of
from throughtime.records.record import Record, Status
from throughtime.records.store import Store
from throughtime.registry import KINDS, Component, raised_at
from throughtime.spec import PASSES, Pass, Rerun, RunSpec


class Planned(NamedTuple):
    """A run, and what is known of it before it starts."""

    spec: RunSpec
    id: str
    code: dict[str, str]
    """Digests of the code of its rule, neuron, network, dataset and harness; part of the id."""
    passes: list[Pass]
    """Those it makes itself: measuring passes only on the first replicate of a cell that trains."""
    unsupported: str | None
    """Why its rule cannot do it."""
    recorded: Status | None
    """The status in its record, if it has one."""
    reason: str = ""
    """Why it has that status, if it is not `ok`."""
    stale: str | None = None
    """What changed since that record was made, code or data; None: nothing."""


class CellPlan(NamedTuple):
    """Runs of one cell that have the same fate: a line of what the command line prints."""

    label: str
    """The runs' label without the replicate."""
    runs: int
    fate: str
    """`run`, `done`, `stale: <what changed>`, `skip: <reason>` or `failed before: <reason>`."""

    def row(self) -> dict[str, str | int]:
        """One row of a table."""
        return {"cell": self.label, "runs": self.runs, "plan": self.fate}


def plan(specs: Sequence[RunSpec], store: Store) -> list[Planned]:
    """Say of each run, in the order given, what is known of it. One cell's network is built once, to ask its rule.

    A run is known by the record under its id, or else by the newest record of the same spec, which is then stale: it
    was made by other code.

    Raises:
        UsageError: a component of a cell cannot be built, or its rule cannot be asked; the cell is named.
    """
    known = {suite: _Known(store, suite) for suite in {spec.suite for spec in specs}}
    unsupported: dict[tuple[str, ...], str | None] = {}
    codes: dict[tuple[str, ...], dict[str, str]] = {}
    contents: dict[tuple[int, ...], tuple[str, ...]] = {}  # by the parts' identity: replicates share them
    measured: set[tuple[str, str, str, str]] = set()
    planned = []
    for spec in specs:
        parts = [getattr(spec, kind) for kind in KINDS]
        content = contents.get(same := tuple(map(id, parts)))
        if content is None:
            content = contents[same] = tuple(part.model_dump_json() for part in parts)
        if content not in unsupported:
            unsupported[content] = _unsupported(spec)
        names = tuple(part.name for part in parts)
        if names not in codes:
            codes[names] = code_of(spec)
        code = codes[names]
        run = spec.id(code)
        passes = [
            name
            for name in spec.passes
            if not (PASSES[name].headline and "train" in spec.passes and spec.cell in measured)
        ]
        measured.add(spec.cell)
        planned.append(Planned(spec, run, code, passes, unsupported[content], *known[spec.suite].of(spec, run, code)))
    return planned


def to_run(planned: Iterable[Planned], rerun: Rerun) -> list[Planned]:
    """The runs that have no record yet, and those whose record the user wants made again.

    A stale record counts as one only if its run was ok: other code may well do what failed or was not supported.
    """
    failed = ("diverged", "oom", "timeout", "killed", "error")
    return [
        p
        for p in planned
        if p.recorded is None
        or (p.stale and p.recorded != "ok")
        or rerun == "all"
        or (rerun == "failed" and p.recorded in failed)
        or (rerun == "stale" and p.stale)
    ]


class _Known:
    """What a store knows of a suite's runs."""

    def __init__(self, store: Store, suite: str) -> None:
        records = sorted((stored.record for stored in store.records(suite)), key=lambda record: record.started)
        self._by_id = {record.id: record for record in records}
        self._by_spec = {record.spec.id({}): record for record in records}

    def of(self, spec: RunSpec, run: str, code: dict[str, str]) -> tuple[Status | None, str, str | None]:
        """Status, reason and what made it stale."""
        if record := self._by_id.get(run):
            return record.status, record.reason, _data_changed(record)
        if record := self._by_spec.get(spec.id({})) if self._by_spec else None:
            changed = [what for what, digest in code.items() if record.code.get(what) != digest]
            names = [what if what == "harness" else getattr(spec, what).name for what in changed]
            return record.status, record.reason, f"the code of {', '.join(names)} changed since"
        return None, "", None


@functools.cache
def _sha256(dataset: str, options: str) -> str | None:
    """Of a dataset's raw data as they are here; None if they are not here, or there are none."""
    from throughtime.datasets.files.fetch import find

    factory = KINDS["dataset"][dataset].factory
    if not all(find(file) for file in factory.files):
        return None
    try:
        return factory(**json.loads(options)).sha256()
    except UsageError:  # damaged files are told of when they are needed
        return None


def _data_changed(record: Record) -> str | None:
    if record.dataset_sha256 is None:
        return None
    dataset = record.spec.dataset
    now = _sha256(dataset.name, json.dumps(dataset.options, sort_keys=True))
    return f"the data of {dataset.name} changed since" if now not in (None, record.dataset_sha256) else None


def prepare_data(
    planned: Iterable[Planned], shown: Callable[[str], AbstractContextManager[None]] = nullcontext
) -> None:
    """Have each dataset of these runs bring its data into reach, once; a run that will be skipped needs none.

    Args:
        planned: the runs.
        shown: of a dataset's name, the context that it does so in.

    Raises:
        UsageError: data are missing and cannot be had, or are not what they should be.
    """
    needed = {p.spec.dataset.model_dump_json(exclude={"label"}): p.spec.dataset for p in planned if not p.unsupported}
    for dataset in needed.values():
        component = KINDS["dataset"][dataset.name]
        try:
            with shown(dataset.name):
                component.factory(**dataset.options).prepare()
        except UsageError:
            raise
        except Exception as error:
            raise _refusal(f"the data of {dataset.name} cannot be had", error, component) from error


def by_cell(planned: Iterable[Planned]) -> list[CellPlan]:
    """One line for each cell and fate, in the order of the runs."""
    counts = Counter((p.spec.label.rpartition(" #")[0], _fate(p)) for p in planned)
    return [CellPlan(label, runs, fate) for (label, fate), runs in counts.items()]


def _fate(planned: Planned) -> str:
    if planned.recorded is None:
        return f"skip: {planned.unsupported}" if planned.unsupported else "run"
    if planned.stale:
        return f"stale: {planned.stale}"
    if planned.recorded == "ok":
        return "done"
    what = "skip" if planned.recorded == "skipped" else "failed before"
    return f"{what}: {planned.reason or planned.recorded}"


def _unsupported(spec: RunSpec) -> str | None:
    """What the rule has against this cell's network, task and length of sequence."""
    from throughtime.harness.build import build  # imports torch

    try:
        dataset, network, rule = build(spec)
        if network.mixes_samples and spec.training.batch == 1:
            return "batch normalisation needs batches of more than one sample"
        return rule.supports(network, dataset.task, dataset.steps)
    except Exception as error:
        what = f"the cell {' x '.join(spec.cell)} cannot be built"
        raise _refusal(what, error, *components_of(spec).values()) from error


def _refusal(what: str, error: Exception, *components: Component) -> UsageError:
    """For what a component raised: the first line of what it says, and the last line of a component's file in it."""
    place = raised_at(error, *(component.place.rpartition(":")[0] for component in components))
    if isinstance(error, UsageError):
        return UsageError(f"{what}: {error.what}", error.where or place, error.hint)
    said = first_line(error)
    # A ValueError is how a component says that options do not go together; the type of others says something too.
    told = said if said and isinstance(error, ValueError) else f"{type(error).__name__}: {said}".removesuffix(": ")
    return UsageError(f"{what}: {told}", place)
