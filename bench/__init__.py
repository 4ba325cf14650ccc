"""throughtime: a benchmark and reproduction suite for learning rules of spiking networks.

    import throughtime as tt

    results = tt.run("quick", scale="tiny")  # or tt.load("results/runs")
    tt.frame(results), tt.table(results), tt.figure(results)

The four registries are the four folders `algorithms`, `neurons`, `networks` and `datasets`; a component joins one with
a decorator, from inside the package or from any file named with `--plugin`:

    from throughtime import algorithm, dataset, network, neuron

Importing this module loads no other module of the package: each name is loaded at its first use. `face/stub.py` writes
the stub `__init__.pyi` for editors and type checkers.
"""

from __future__ import annotations

import pkgutil
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "Learner",
    "Results",
    "algorithm",
    "as_dataset",
    "build_dataset",
    "build_network",
    "build_rule",
    "bytes",
    "check",
    "compare",
    "dataset",
    "evaluate",
    "figure",
    "frame",
    "load",
    "load_network",
    "network",
    "neuron",
    "neuron_type",
    "recommend",
    "run",
    "table",
]

_PLACES = {
    "Learner": "harness.learner:Learner",
    "Results": "records.results:Results",
    "algorithm": "registry:algorithm",
    "as_dataset": "datasets.torch_sequences:as_dataset",
    "build_dataset": "harness.by_name:build_dataset",
    "build_network": "harness.by_name:build_network",
    "build_rule": "harness.by_name:build_rule",
    "bytes": "face.memory:bytes",
    "check": "face.api:check",
    "compare": "comparing.compare:compare",
    "dataset": "registry:dataset",
    "evaluate": "harness.batches:evaluate",
    "figure": "face.api:figure",
    "frame": "face.api:frame",
    "load": "records.results:Results.load",
    "load_network": "harness.weights:load_network",
    "network": "registry:network",
    "neuron": "registry:neuron",
    "neuron_type": "harness.by_name:neuron_type",
    "recommend": "face.memory:recommend",
    "run": "face.api:run",
    "table": "face.api:table",
}
"""Module and attribute of each name that is imported when it is first used."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = pkgutil.resolve_name(f"{__name__}.{_PLACES[name]}")
    return value


def __dir__() -> list[str]:
    return ["__version__", *__all__]
