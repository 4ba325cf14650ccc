"""The type stub of the package: its public names, and an overload of each builder for each registered component.

`python -m throughtime.face.stub` writes `__init__.pyi`. Editors complete names and options from it, and type checkers
refuse a wrong option of a name that is written out. A name in a variable is taken without the types of its options,
and so are the options of a plugin's component if they are a mapping: `build_rule("mine", **options)`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import throughtime
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS, Component, Registry

STUB = Path(throughtime.__file__).with_suffix(".pyi")
BUILDERS: dict[str, tuple[Registry, tuple[str, ...], str]] = {
    "build_dataset": (DATASETS, (), "Dataset"),
    "build_network": (
        NETWORKS,
        (
            "inputs: Shape",
            "outputs: Shape | Mapping[str, Shape]",
            'neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif"',
        ),
        "Network",
    ),
    "build_rule": (ALGORITHMS, (), "LearningRule"),
    "neuron_type": (NEURONS, (), "Callable[..., Neuron]"),
}
"""Registry, further parameters and type of the result of each builder."""
IMPORTS = """\
# Written by `python -m throughtime.face.stub`.
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.base import Dataset
from throughtime.networks.base import Network
from throughtime.neurons.base import Neuron, Shape
"""


def stub() -> str:
    """Return the text of the stub. It imports all components of the package."""
    lines = [IMPORTS.rstrip()]
    for name, place in sorted(throughtime._PLACES.items(), key=lambda item: item[1]):
        module, _, attribute = place.partition(":")
        if name not in BUILDERS and "." not in attribute:
            lines.append(f"from throughtime.{module} import {attribute} as {name}")
    names = "".join(f"    {json.dumps(name)},\n" for name in throughtime.__all__)
    lines += ["", f"__version__: str\n_PLACES: dict[str, str]\n__all__ = [\n{names}]", "", "load = Results.load", ""]
    for builder, (registry, parameters, result) in BUILDERS.items():
        for component in _own(registry):
            options = [f"{name}: {kind}" for name, kind in _options(component)]
            signature = [f"name: Literal[{json.dumps(component.name)}]", *parameters]
            signature += ["*", *options] if options else []
            lines += _overload(builder, signature, result)
        lines += _overload(builder, ["name: str", *parameters], result)
    return "\n".join(lines) + "\n"


def _own(registry: Registry) -> list[Component]:
    """Return the components of the package itself."""
    return [registry[name] for name in registry.names() if registry[name].origin == "throughtime"]


def _overload(builder: str, signature: list[str], result: str) -> list[str]:
    return ["@overload", f"def {builder}(", *(f"    {parameter}," for parameter in signature), f") -> {result}: ..."]


def _options(component: Component) -> Iterator[tuple[str, str]]:
    """Yield the options of a component, each with its type and its default, as source."""
    for name, field in component.options.model_fields.items():
        default = ""
        if not field.is_required():
            default = " = " + (json.dumps(field.default) if isinstance(field.default, str) else repr(field.default))
        yield name, f"{annotation_text(field.annotation)}{default}"


def annotation_text(kind: Any) -> str:
    """Return a type as source, without the bounds of its values; `Any` for one that is not of Python itself."""
    if kind is None or kind is type(None):
        return "None"
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return annotation_text(inner[0])
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(annotation_text, inner)))
    if origin is Literal:
        return f"Literal[{', '.join(json.dumps(value) if isinstance(value, str) else repr(value) for value in inner)}]"
    if origin in (list, dict, tuple, Sequence):
        return f"{origin.__name__}[{', '.join('...' if part is ... else annotation_text(part) for part in inner)}]"
    return kind.__name__ if kind in (bool, int, float, str, list, dict, tuple) else "Any"


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
