"""The plan of a sweep: each run with its id, the rule's support for it, and its present record."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pydantic

from throughtime.errors import UsageError, first_line, raised_at
from throughtime.records.code_digest import code_of, components_of
from throughtime.records.files import WEIGHTS
from throughtime.records.provenance import versions
from throughtime.records.record import Record, Status
from throughtime.records.store import Store
from throughtime.registry import KINDS, Component
from throughtime.running.least_memory import least_bytes, planned_network
from throughtime.running.weight_files import WeightFiles
from throughtime.spec import PASSES, ComponentSpec, Pass, Rerun, RunSpec

if TYPE_CHECKING:
    from throughtime.datasets.base import Dataset

NO_WEIGHTS = "its weights were not saved"
"""Reason why an `ok` record does not count in a suite with `keep_weights`."""


class Planned(NamedTuple):
    """A run with its id, passes and present record."""

    spec: RunSpec
    id: str
    code: dict[str, str]
    """Digests of the code of rule, neuron, network, dataset and harness; part of the id."""
    passes: list[Pass]
    """The passes of this run: measuring passes only on the first replicate of a cell that trains."""
    unsupported: str | None
    """Reason why its rule does not support it, or why its initial weights are missing; None: it can run."""
    recorded: Status | None
    """Status of its record; None: no record, or one without the weights that `keep_weights` requires."""
    reason: str = ""
    """Reason of a status other than `ok`, or reason why its record does not count."""
    stale: str | None = None
    """Change of code or data since the record was written; None: no change."""
    missing_passes: tuple[Pass, ...] = ()
    """Passes to repeat because measuring passes of an `ok` record failed: these, or all if library versions changed
    since."""
    completes: bool = False
    """Whether `passes` are only the missing ones."""
    least_bytes: int | None = None
    """Least memory of a pass, see `least_memory.py`; None: not known."""


class CellPlan(NamedTuple):
    """Runs of one cell with the same plan, shown as one line on the terminal."""

    label: str
    """The runs' label without the replicate."""
    runs: int
    fate: str
    """`run`, `run again: <reason>`, `done`, `done but for ...`, `stale: <what changed>`, `skip: <reason>` or
    `failed before: <reason>`."""

    def row(self) -> dict[str, str | int]:
        """Return a row of a table."""
        return {"cell": self.label, "runs": self.runs, "plan": self.fate}


def plan(specs: Sequence[RunSpec], store: Store) -> list[Planned]:
    """Plan each run, in the order of `specs`. Needs no device but the CPU.

    The record of a run is that with its id or, without one, the newest record of the same spec, which is then stale: it
    is the result of other code.

    Raises:
        UsageError: a component of a cell cannot be built, or `supports` of its rule fails; the message names the cell.
            Or a file of initial weights cannot be read.
    """
    known = {suite: KnownRecords(store, suite) for suite in {spec.suite for spec in specs}}
    support, weights = _Support(), WeightFiles(store)
    codes: dict[tuple[str, ...], dict[str, str]] = {}
    contents: dict[tuple[int, ...], tuple[str, ...]] = {}  # by the identity of the components, which replicates share
    measured: set[tuple[str, str, str, str]] = set()
    planned = []
    for spec in specs:
        parts = [getattr(spec, kind) for kind in KINDS]
        content = contents.get(same := tuple(map(id, parts)))
        if content is None:
            content = contents[same] = tuple(part.model_dump_json() for part in parts)
        names = tuple(part.name for part in parts)
        if names not in codes:
            codes[names] = code_of(spec)
        code = codes[names]
        unsupported, least = support.answer(spec, content)
        initial, missing = weights.initial_weights(spec)
        if initial is not None:
            spec = spec.model_copy(update={"initial_weights": initial})
        run = spec.id(code)
        passes = [
            name
            for name in spec.passes
            if not (PASSES[name].headline and "train" in spec.passes and spec.cell in measured)
        ]
        measured.add(spec.cell)
        record, stale = known[spec.suite].record(spec, run, code)
        without_weights = record is not None and not stale and _without_weights(spec, record, store)
        if without_weights:
            record = None  # the run is repeated for any value of `rerun`
        planned.append(
            Planned(
                spec,
                run,
                code,
                passes,
                unsupported or missing,
                recorded=record.status if record else None,
                reason=NO_WEIGHTS if without_weights else record.reason if record else "",
                stale=stale,
                missing_passes=_missing_passes(record, passes) if record and not stale else (),
                least_bytes=least,
            )
        )
    return planned


def _without_weights(spec: RunSpec, record: Record, store: Store) -> bool:
    """Return whether a run with `keep_weights` has an `ok` record without weights.

    A record of a baseline, which has no command, counts without them: it is not trained again for its weights alone.
    """
    weights = store.run_folder(record.spec.suite, record.id) / WEIGHTS
    return spec.keep_weights and record.status == "ok" and bool(record.command) and not weights.exists()


def to_run(planned: Iterable[Planned], rerun: Rerun) -> list[Planned]:
    """Return the runs without a record and those that `rerun` selects.

    A stale record counts only if its run was `ok` or `diverged`, which are results of training: of any other failure
    the changed code may be free. So may a run that was skipped and no longer is. For a run that is `ok` except for
    some measuring passes, `failed` selects only these passes.
    """
    failed = ("diverged", "oom", "timeout", "killed", "error")
    due = []
    for p in planned:
        if (
            p.recorded is None
            or (p.stale and p.recorded not in ("ok", "diverged"))
            or (p.recorded == "skipped" and not p.unsupported)
            or rerun == "all"
            or (rerun == "failed" and p.recorded in failed)
            or (rerun == "stale" and p.stale)
        ):
            due.append(p)
        elif rerun == "failed" and p.missing_passes:
            due.append(p._replace(passes=list(p.missing_passes), completes="train" not in p.missing_passes))
    return due


def run_of(spec: RunSpec) -> str:
    """Return what the specs of one run share, whatever the code: the digest of the spec, in which an option that was
    added to a component after the spec was recorded has its default."""
    return spec.model_copy(update={kind: _whole(kind, getattr(spec, kind)) for kind in KINDS}).id({})


def _whole(kind: str, part: ComponentSpec) -> ComponentSpec:
    try:
        return part.model_copy(update={"options": KINDS[kind][part.name].checked(part.options)})
    except (UsageError, pydantic.ValidationError):  # a component or an option that is no longer there, or not allowed
        return part


class KnownRecords:
    """The records of a suite's runs in a store."""

    def __init__(self, store: Store, suite: str) -> None:
        records = sorted((stored.record for stored in store.records(suite)), key=lambda record: record.started)
        self._by_id = {record.id: record for record in records}
        self._by_spec = {run_of(record.spec): record for record in records}

    def record(self, spec: RunSpec, run: str, code: dict[str, str]) -> tuple[Record | None, str | None]:
        """Return the record of a run, and the change of code or data since."""
        if record := self._by_id.get(run):
            return record, data_changed(record)
        if record := self._by_spec.get(spec.id({})) if self._by_spec else None:
            changed = [what for what, digest in code.items() if record.code.get(what) != digest]
            names = [what if what == "harness" else getattr(spec, what).name for what in changed]
            return record, f"the code of {', '.join(names)} changed since"
        return None, None


def _missing_passes(record: Record, passes: list[Pass]) -> tuple[Pass, ...]:
    """Return the passes to repeat so that an `ok` record has all measures."""
    if record.status != "ok" or not record.failed_passes:
        return ()
    return tuple(record.failed_passes if record.versions == versions() else passes)


@functools.cache
def _sha256(dataset: str, options: str) -> str | None:
    """Return the SHA-256 of a dataset's raw data; None if it has none, or they are not on this machine."""
    from throughtime.datasets.files.fetch import find

    factory = cast("type[Dataset]", KINDS["dataset"][dataset].factory)
    if not all(find(file) for file in getattr(factory, "files", ())):  # a function has none
        return None
    try:
        return factory(**json.loads(options)).sha256()
    except UsageError:  # damaged files are reported when they are needed
        return None
    except Exception as error:
        raise _refusal(f"the data of {dataset} have no SHA-256", error, KINDS["dataset"][dataset]) from error


def data_changed(record: Record) -> str | None:
    """Return the reason why the data here are not those of a record; None: they are, or it read none."""
    if record.dataset_sha256 is None:
        return None
    dataset = record.spec.dataset
    now = _sha256(dataset.name, json.dumps(dataset.options, sort_keys=True))
    return f"the data of {dataset.name} changed since" if now not in (None, record.dataset_sha256) else None


def prepare_data(
    planned: Iterable[Planned], shown: Callable[[str], AbstractContextManager[object]] = nullcontext
) -> None:
    """Prepare the dataset of each run that will not be skipped, once.

    Args:
        planned: the runs.
        shown: returns the context manager around the preparation, from the name of the dataset.

    Raises:
        UsageError: data are missing and cannot be downloaded, or are damaged.
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
            raise _refusal(f"the data of {dataset.name} cannot be prepared", error, component) from error


def by_cell(planned: Iterable[Planned]) -> list[CellPlan]:
    """Return a line for each cell and plan, in the order of the runs."""
    counts = Counter((p.spec.label.rpartition(" #")[0], _fate(p)) for p in planned)
    return [CellPlan(label, runs, fate) for (label, fate), runs in counts.items()]


def _fate(planned: Planned) -> str:
    if planned.recorded is None or (planned.recorded == "skipped" and not planned.unsupported):
        again = f"run again: {planned.reason}" if planned.reason else "run"
        return f"skip: {planned.unsupported}" if planned.unsupported else again
    if planned.stale:
        return f"stale: {planned.stale}"
    if planned.missing_passes:
        return "done but for a measuring pass that failed"
    if planned.recorded == "ok":
        return "done"
    what = "skip" if planned.recorded == "skipped" else "failed before"
    return f"{what}: {planned.reason or planned.recorded}"


class _Support:
    """Calls `supports` of the rule of each cell.

    Each dataset, rule and network is built once, on the CPU, and shared by all cells that contain it.
    """

    def __init__(self) -> None:
        self._built: dict[tuple[Any, ...], Any] = {}
        self._answers: dict[tuple[Any, ...], tuple[str | None, int | None]] = {}

    def answer(self, spec: RunSpec, content: tuple[str, ...]) -> tuple[str | None, int | None]:
        """Return the reason why the rule of a cell does not support its network, task or sequence length, or None; and
        the least memory of its runs, bytes, or None if it is not known.

        Args:
            spec: a run of the cell.
            content: the components with their options, as JSON, in the order of `KINDS`.

        Raises:
            UsageError: a component cannot be built, or `supports` fails; the message names the cell.
        """
        key = content, spec.training.precision, spec.training.batch, spec.training.optimiser
        if key not in self._answers:
            try:
                self._answers[key] = self._ask(spec, dict(zip(KINDS, content, strict=True)))
            except Exception as error:
                what = f"the cell {' x '.join(spec.cell)} cannot be built"
                raise _refusal(what, error, *components_of(spec).values()) from error
        return self._answers[key]

    def _ask(self, spec: RunSpec, content: dict[str, str]) -> tuple[str | None, int | None]:
        import torch

        from throughtime.harness.build import build_network  # imports torch
        from throughtime.harness.learner_checks import check_readouts, supported
        from throughtime.numerics.precision import in_precision
        from throughtime.passes.observations import check_metrics

        def component(kind: str) -> Any:
            part = getattr(spec, kind)
            return self._once((kind, content[kind]), lambda: KINDS[kind][part.name].factory(**part.options))

        def network() -> Any:
            build = partial(build_network, spec, inputs, dataset.outputs)
            with torch.random.fork_rng(devices=[]):  # `tt.run` leaves its caller's random state as it is
                return in_precision(planned_network(build), spec.training.precision)

        dataset = component("dataset")
        check_metrics(dataset.task)
        inputs = dataset.layout or dataset.inputs
        shape = inputs, json.dumps(dataset.outputs), spec.training.precision
        net = self._once(("network", content["network"], content["neuron"], *shape), network)
        check_readouts(net, dataset.task)
        least = least_bytes(spec, dataset, net)
        if net.mixes_samples and spec.training.batch == 1:
            return "batch normalisation needs batches of more than one sample", least
        return supported(component("rule"), net, dataset.task, dataset.steps), least

    def _once(self, key: tuple[Any, ...], build: Callable[[], Any]) -> Any:
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]


def _refusal(what: str, error: Exception, *components: Component) -> UsageError:
    """Return a UsageError for an exception of a component: its first line, and its place in the component's file."""
    place = raised_at(error, *(component.place.rpartition(":")[0] for component in components))
    if isinstance(error, UsageError):
        return UsageError(f"{what}: {error.what}", error.where or place, error.hint)
    line = first_line(error)
    # A component raises ValueError for options that contradict each other; of other exceptions the type matters too.
    if not line or not isinstance(error, ValueError):
        line = f"{type(error).__name__}: {line}".removesuffix(": ")
    return UsageError(f"{what}: {line}", place)
