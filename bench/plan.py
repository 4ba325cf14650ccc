"""The plan: of each run its id, whether its rule supports it, and what the store has of it already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from throughtime.code_digest import code_digest, module_digest
from throughtime.errors import UsageError, first_line
from throughtime.record import Status
from throughtime.registry import Component, raised_at
from throughtime.spec import RunSpec
from throughtime.store import Store
from throughtime.suite import KINDS


class Planned(NamedTuple):
    """A run, and what is known of it before it starts."""

    spec: RunSpec
    id: str
    code: dict[str, str]
    """Digests of the code of its rule, neuron, network, dataset and harness; part of the id."""
    unsupported: str | None
    """Why its rule cannot do it."""
    recorded: Status | None
    """The status in its record, if it has one."""
    reason: str = ""
    """Why it has that status, if it is not `ok`."""


class CellPlan(NamedTuple):
    """Runs of one cell that have the same fate: a line of what the command line prints."""

    label: str
    """The runs' label without the replicate."""
    runs: int
    fate: str
    """`run`, `done`, `skip: <reason>` or `failed before: <reason>`."""

    def row(self) -> dict[str, str | int]:
        """One row of a table."""
        return {"cell": self.label, "runs": self.runs, "plan": self.fate}


def plan(specs: Sequence[RunSpec], store: Store) -> list[Planned]:
    """Say of each run, in the order given, what is known of it. One cell's network is built once, to ask its rule.

    Raises:
        UsageError: a component of a cell cannot be built, or its rule cannot be asked; the cell is named.
    """
    stored = {suite: {s.record.id: s.record for s in store.records(suite)} for suite in {spec.suite for spec in specs}}
    unsupported: dict[tuple[str, ...], str | None] = {}
    codes: dict[tuple[str, ...], dict[str, str]] = {}
    planned = []
    for spec in specs:
        parts = [getattr(spec, kind) for kind in KINDS]
        content = tuple(part.model_dump_json() for part in parts)
        if content not in unsupported:
            unsupported[content] = _unsupported(spec)
        names = tuple(part.name for part in parts)
        if names not in codes:
            codes[names] = code_of(spec)
        code = codes[names]
        run = spec.id(code)
        record = stored[spec.suite].get(run)
        known = (record.status, record.reason) if record else (None, "")
        planned.append(Planned(spec, run, code, unsupported[content], *known))
    return planned


def code_of(spec: RunSpec) -> dict[str, str]:
    """Digests of the code of a run's rule, neuron, network, dataset and harness, as it is on disk.

    Of each file, that is, what it held when a digest of this process first took it.
    """
    code = {kind: code_digest(component.factory) for kind, component in _components(spec).items()}
    return code | {"harness": module_digest("throughtime.passes")}


def prepare_data(planned: Iterable[Planned]) -> None:
    """Have each dataset of these runs bring its data into reach, once; a run that will be skipped needs none.

    Raises:
        UsageError: data are missing and cannot be had, or are not what they should be.
    """
    needed = {p.spec.dataset.model_dump_json(exclude={"label"}): p.spec.dataset for p in planned if not p.unsupported}
    for dataset in needed.values():
        component = KINDS["dataset"][dataset.name]
        try:
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
    if planned.recorded == "ok":
        return "done"
    what = "skip" if planned.recorded == "skipped" else "failed before"
    return f"{what}: {planned.reason or planned.recorded}"


def _unsupported(spec: RunSpec) -> str | None:
    """What the rule has against this cell's network, task and length of sequence."""
    from throughtime.build import build  # imports torch

    try:
        dataset, network, rule = build(spec)
        if network.mixes_samples and spec.training.batch == 1:
            return "batch normalisation needs batches of more than one sample"
        return rule.supports(network, dataset.task, dataset.steps)
    except Exception as error:
        what = f"the cell {' x '.join(spec.cell)} cannot be built"
        raise _refusal(what, error, *_components(spec).values()) from error


def _components(spec: RunSpec) -> dict[str, Component]:
    return {kind: registry[getattr(spec, kind).name] for kind, registry in KINDS.items()}


def _refusal(what: str, error: Exception, *components: Component) -> UsageError:
    """For what a component raised: the first line of what it says, and the last line of a component's file in it."""
    place = raised_at(error, *(component.place.rpartition(":")[0] for component in components))
    if isinstance(error, UsageError):
        return UsageError(f"{what}: {error.what}", error.where or place, error.hint)
    said = first_line(error)
    # A ValueError is how a component says that options do not go together; the type of others says something too.
    told = said if said and isinstance(error, ValueError) else f"{type(error).__name__}: {said}".removesuffix(": ")
    return UsageError(f"{what}: {told}", place)
