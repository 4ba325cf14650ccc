"""The plan: of each run its id, whether its rule supports it, and what the store has of it already."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from throughtime.code_digest import code_digest, module_digest
from throughtime.errors import UsageError
from throughtime.record import Status
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
        UsageError: the options of a cell do not go together, says a constructor; the cell is named.
    """
    digest = functools.cache(lambda kind, name: code_digest(KINDS[kind][name].factory))
    harness = module_digest("throughtime.training") if specs else ""
    stored = {suite: {s.record.id: s.record for s in store.records(suite)} for suite in {spec.suite for spec in specs}}
    unsupported: dict[tuple[str, ...], str | None] = {}
    planned = []
    for spec in specs:
        parts = {kind: getattr(spec, kind) for kind in KINDS}
        content = tuple(part.model_dump_json() for part in parts.values())
        if content not in unsupported:
            unsupported[content] = _unsupported(spec)
        code = {kind: digest(kind, part.name) for kind, part in parts.items()} | {"harness": harness}
        run = spec.id(code)
        record = stored[spec.suite].get(run)
        known = (record.status, record.reason) if record else (None, "")
        planned.append(Planned(spec, run, code, unsupported[content], *known))
    return planned


def by_cell(planned: Iterable[Planned]) -> list[CellPlan]:
    """One line for each cell and fate, in the order of the runs."""
    counts = Counter((p.spec.label.rpartition(" #")[0], _fate(p)) for p in planned)
    return [CellPlan(label, runs, fate) for (label, fate), runs in counts.items()]


def _fate(planned: Planned) -> str:
    if planned.unsupported:
        return f"skip: {planned.unsupported}"
    if planned.recorded in (None, "skipped"):
        return "run"
    return "done" if planned.recorded == "ok" else f"failed before: {planned.reason or planned.recorded}"


def _unsupported(spec: RunSpec) -> str | None:
    """What the rule has against this cell's network and task."""
    from throughtime.build import build  # imports torch

    try:
        dataset, network, rule = build(spec)
    except ValueError as error:
        raise UsageError(f"the cell {' x '.join(spec.cell)} cannot be built: {error}") from error
    return rule.supports(network, dataset.task)
