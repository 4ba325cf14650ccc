"""Digests of a run's code, so that its id changes with the code and not with comments."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from throughtime.errors import UsageError
from throughtime.registry import KINDS, Component
from throughtime.source_digest import source_digest
from throughtime.spec import RunSpec

ROOMS = ("numerics", "neurons", "networks", "algorithms", "datasets", "harness", "measuring", "passes")
FOLLOWED = tuple(f"throughtime.{room}" for room in ROOMS)
"""Packages whose code determines or measures numbers; the others only plan, store and report them."""
HARNESS = "throughtime.passes.passes"
"""Module whose code, with its imports, is the harness of a run."""


def code_of(spec: RunSpec) -> dict[str, str]:
    """Return digests of the code of a run's rule, neuron, network, dataset and harness, as it is on disk.

    Files are read once per process; later edits are not seen.
    """
    code = {kind: module_digest(component.factory.__module__) for kind, component in components_of(spec).items()}
    return code | {"harness": module_digest(HARNESS)}


def changed_parts(names: Mapping[str, str], code: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parts of a run whose code is not that of today: `harness` first, then names of components.

    A component that is not registered, for example one of a plugin that was not loaded, counts as changed.

    Args:
        names: the registered names of rule, neuron, network and dataset, by kind.
        code: the digests of a record, as `code_of` returns them.
    """
    if code.get("harness") != module_digest(HARNESS):
        yield "harness"
    for kind, name in names.items():
        try:
            digest = module_digest(KINDS[kind].module_of(name))
        except UsageError:
            yield f"{name} (not registered, or without a source file: is --plugin missing?)"
            continue
        if code.get(kind) != digest:
            yield name


def names_of(spec: RunSpec) -> dict[str, str]:
    """Return the registered names of rule, neuron, network and dataset of a run, by kind."""
    return {kind: getattr(spec, kind).name for kind in KINDS}


def components_of(spec: RunSpec) -> dict[str, Component]:
    """Return rule, neuron, network and dataset of a run, by kind."""
    return {kind: KINDS[kind][name] for kind, name in names_of(spec).items()}


@functools.cache
def module_digest(name: str) -> str:
    """Return 12 hexadecimal digits for the code of a module and, recursively, of its imports.

    Imports count from `FOLLOWED` and from the package of an installed plugin. The digest is computed once: a process
    reads each file once.

    Raises:
        UsageError: the module has no source file.
    """
    top = name.partition(".")[0]
    return source_digest(name, followed=FOLLOWED if top == "throughtime" else (*FOLLOWED, top))
