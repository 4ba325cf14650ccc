"""Digests of a run's code, so that its id changes with the code and not with comments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from throughtime.registry import KINDS, Component
from throughtime.source_digest import source_digest
from throughtime.spec import RunSpec

FOLLOWED = tuple(
    f"throughtime.{room}"
    for room in (
        "numerics",
        "neurons",
        "networks",
        "algorithms",
        "datasets",
        "harness",
        "measuring",
        "passes",
    )
)
"""Packages whose code determines or measures numbers; the others only plan, store and report them."""


def code_of(spec: RunSpec) -> dict[str, str]:
    """Return digests of the code of a run's rule, neuron, network, dataset and harness, as it is on disk.

    Files are read once per process; later edits are not seen.
    """
    code = {kind: code_digest(component.factory) for kind, component in components_of(spec).items()}
    return code | {"harness": module_digest("throughtime.passes.passes")}


def components_of(spec: RunSpec) -> dict[str, Component]:
    """Return rule, neuron, network and dataset of a run, by kind."""
    return {kind: registry[getattr(spec, kind).name] for kind, registry in KINDS.items()}


def code_digest(factory: Callable[..., Any]) -> str:
    """Return 12 hexadecimal digits for the code of a component: its module and its imports, recursively.

    Imports count from `FOLLOWED` and from the package of an installed plugin.
    """
    return module_digest(factory.__module__)


def module_digest(name: str) -> str:
    """Return 12 hexadecimal digits for the code of a module and its imports from `FOLLOWED` or its own package.

    Raises:
        UsageError: the module has no source file.
    """
    top = name.partition(".")[0]
    return source_digest(name, followed=FOLLOWED if top == "throughtime" else (*FOLLOWED, top))
