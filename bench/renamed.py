"""Modules that were moved or renamed after version 0.1.0, so that the error of an old plugin names the new one."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.util import find_spec

FOLDERS = ("algorithms", "datasets", "networks", "neurons", "numerics", "reports")
"""Packages that lie beside the folder of `throughtime` in a checkout."""

RENAMED = {
    "compiled": "numerics.loops",
    "loops_of_step": "neurons.kernels.loops",
    "machine": "records.provenance",
    "readout_loops": "neurons.integrators",
    "readout_window": "networks.layer_windows",
    "recurrent_gradient": "networks.kernels.plain_window",
    "spike_linear": "networks.kernels.linear_window",
    "statistics": "records.statistics.interval",
    "suite_file": "suites.schema",
    "sums": "numerics.reductions",
    "training": "harness.batches",
}
"""New name of each module that has another name; a module that was only moved has its old name in another package."""


def replacement(error: BaseException) -> str | None:
    """Return a hint for an ImportError of a module, or of a name in a package, that was a module of another place."""
    old = (error.name or "") if isinstance(error, ImportError) else ""
    if not old.startswith("throughtime.") or _is_file(old):
        return None
    name = old.rpartition(".")[2]
    new = [f"throughtime.{RENAMED[name]}"] if name in RENAMED else modules_named(name)
    return f"{old} was moved after version 0.1.0: import {' or '.join(new)}" if new else None


def modules_named(name: str) -> list[str]:
    """Return the modules of the package whose name ends with `name`; those of the checks, for which few ask, last."""
    roots = [
        importlib.import_module(root) for root in ("throughtime", *(f"throughtime.{folder}" for folder in FOLDERS))
    ]
    modules = [module for root in roots for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}.")]
    names = {module.name for module in modules if module.name.endswith(f".{name}") and not module.ispkg}
    return sorted(names, key=lambda module: (".checks." in module, module))


def _is_file(name: str) -> bool:
    """Return whether a module exists and is not a package."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return False
    return spec is not None and spec.submodule_search_locations is None
