"""Digests of the code behind a run, so that the run's id changes when that code does, and not with a comment."""

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
"""Packages whose code decides or measures numbers; the rest of the project names, moves and stores them."""


def code_of(spec: RunSpec) -> dict[str, str]:
    """Digests of the code of a run's rule, neuron, network, dataset and harness, as it is on disk.

    Files are read once a process; later edits are not seen.
    """
    code = {kind: code_digest(component.factory) for kind, component in components_of(spec).items()}
    return code | {"harness": module_digest("throughtime.passes.passes")}


def components_of(spec: RunSpec) -> dict[str, Component]:
    """Rule, neuron, network and dataset of a run."""
    return {kind: registry[getattr(spec, kind).name] for kind, registry in KINDS.items()}


def code_digest(factory: Callable[..., Any]) -> str:
    """12 hexadecimal digits for the code of a component: its module and what that imports, recursively.

    Followed are the folders of components, and the package of an installed plugin; a plugin file stands for itself.
    """
    return module_digest(factory.__module__)


def module_digest(name: str) -> str:
    """12 hexadecimal digits for the code of a module and of what it imports from `FOLLOWED`, or from its own package,
    recursively.

    Raises:
        UsageError: the module has no source file.
    """
    top = name.partition(".")[0]
    return source_digest(name, followed=FOLLOWED if top == "throughtime" else (*FOLLOWED, top))
