"""The options of a component as a user reads them: type, default and meaning, from its signature and docstring."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from throughtime.registry import Component

_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
_TYPES = {"integer": "int", "number": "float", "boolean": "bool", "string": "str", "null": "null", "object": "mapping"}


class Option(NamedTuple):
    """One option of a component."""

    name: str
    type: str
    """Such as `int > 0`, `"end" | "every"` or `list of int > 0`."""
    default: str
    """As a suite writes it; `required` without a default."""
    meaning: str
    """Its line of the docstring's section Args; empty if the docstring does not have one."""


def options_of(component: Component) -> list[Option]:
    """Return the options of a component in the order of its signature. After an option whose values are mappings come
    their keys, such as `layers.name`."""
    schema, meanings = component.options.model_json_schema(), _meanings(component)
    return [
        option._replace(meaning=meanings.get(option.name, option.meaning))
        for option in _options(schema, schema.get("$defs", {}), "")
    ]


def _options(schema: dict[str, Any], known: dict[str, Any], inside: str) -> Iterator[Option]:
    required = schema.get("required", ())
    for name, described in schema.get("properties", {}).items():
        default = "required" if name in required else json.dumps(described.get("default"), ensure_ascii=False)
        yield Option(
            f"{inside}{name}", type_text(described), default, " ".join(described.get("description", "").split())
        )
        if mapping := _mapping(described):
            yield from _options(known[mapping], known, f"{inside}{name}.")


def _mapping(schema: dict[str, Any]) -> str | None:
    """Return the name of the model that a value, its items or one of its alternatives has; None if none has one."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    parts = [*_alternatives(schema), *([schema["items"]] if "items" in schema else [])]
    return next(filter(None, map(_mapping, parts)), None)


def _alternatives(schema: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """Return the schemas of which a value has one; none if it has one schema alone."""
    return (*schema.get("anyOf", ()), *schema.get("oneOf", ()))


def type_text(schema: dict[str, Any]) -> str:
    """Return a JSON schema of a value as short text."""
    if "$ref" in schema:
        return "mapping"
    if alternatives := _alternatives(schema):
        return " | ".join(map(type_text, alternatives))
    if "const" in schema or "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {type_text(schema.get('items', {}))}"
    bounds = [f"{sign} {schema[bound]:g}" for bound, sign in _BOUNDS.items() if bound in schema]
    return " ".join([_TYPES.get(schema.get("type", ""), "any"), ", ".join(bounds)]).strip()


def _meanings(component: Component) -> dict[str, str]:
    """Return the entries of the section Args, also of base classes: a subclass may inherit an option, or refer to the
    base class (`as in ...`)."""
    classes = inspect.getmro(component.factory) if inspect.isclass(component.factory) else (component.factory,)
    meanings: dict[str, str] = {}
    for documented in reversed(classes):
        for name, meaning in arguments_of(inspect.cleandoc(documented.__doc__ or "")).items():
            if not (meaning.startswith("as in `") and name in meanings):
                meanings[name] = meaning
    return meanings


def arguments_of(docstring: str) -> dict[str, str]:
    """Return the entries of the section Args of a docstring without indentation, each as one line, by name."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    entries = re.split(r"^    (?=\S)", section[1], flags=re.MULTILINE) if section else []
    parted = (" ".join(entry.split()).partition(": ") for entry in entries if entry.strip())
    return {name: meaning for names, colon, meaning in parted if colon for name in names.split(", ")}
