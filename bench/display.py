"""How tables and figures show a component: its order, title and colour.

Reports need only records. They read the declarations from the source of a component's decorator, because importing the
component would import torch.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.errors import UsageError


class Display(NamedTuple):
    """Appearance of a component in tables and figures."""

    name: str
    order: int | None = None
    """Position; components without one come last, sorted by name."""
    title: str | None = None
    """Display name; None: `name`."""
    colour: str | None = None
    """Colour of its lines in figures, in matplotlib's notation; None: a shade of its family's, or of the palette's."""
    family: str = ""
    """The folder of its file in the package, such as `eligibility`; empty for plugins."""


KNOWN_COLOUR = "#[0-9a-fA-F]{6}|tab:(blue|orange|green|red|purple|brown|pink|gray|grey|olive|cyan)"
"""Colours that need no import of matplotlib, which takes 0.2 s and 14 MB in each training process with a plugin."""


def checked_name(name: Any, decorator: str) -> str:
    """Return the name of a component; UsageError for a decorator without one."""
    if not isinstance(name, str) or not name:
        raise UsageError("a decorator takes the name of the component", hint=f'write @{decorator}("name")')
    return name


def checked(display: Display, decorator: str) -> Display:
    """Return a display; UsageError for an order, title or colour that is none."""
    place = f'@{decorator}("{display.name}")'
    if not isinstance(display.order, int | None) or not isinstance(display.title, str | None):
        raise UsageError("the order is a whole number, and the title a text", place)
    if not (display.colour is None or display.family or re.fullmatch(KNOWN_COLOUR, str(display.colour))):
        from matplotlib.colors import is_color_like

        if not is_color_like(display.colour):
            raise UsageError(f'"{display.colour}" is not a colour', place, "such as tab:red")
    return display


Marked = tuple[Path, ast.FunctionDef | ast.ClassDef, ast.Call]
"""File, function or class, and decorator."""


@functools.cache
def _marked(folder: Path, decorator: str) -> tuple[Marked, ...]:
    """Return what `@decorator("name", ...)` marks at the top level of the Python files below a folder."""
    return tuple(
        (path, node, call)
        for path in sorted(folder.rglob("*.py"))
        for node in ast.parse(path.read_bytes(), str(path)).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for call in node.decorator_list
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == decorator
    )


@functools.cache
def declared(folder: Path, decorator: str) -> tuple[Display, ...]:
    """Return the displays that `@decorator("name", ...)` declares with literals in the Python files below a folder."""
    displays = []
    for path, _, call in _marked(folder, decorator):
        options = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
        displays.append(Display(*map(ast.literal_eval, call.args), **options)._replace(family=path.parent.name))
    return tuple(displays)


@functools.cache
def declared_modules(folder: Path, decorator: str) -> dict[str, str]:
    """Return the module of each component below a folder, such as `fptt.fptt`, by its name; see `declared`."""
    return {
        ast.literal_eval(call.args[0]): ".".join(path.relative_to(folder).with_suffix("").parts)
        for path, _, call in _marked(folder, decorator)
    }


@functools.cache
def declared_defaults(folder: Path, decorator: str) -> dict[str, dict[str, Any]]:
    """Return the literal defaults of the options of each component, by its name; see `declared`."""
    return {ast.literal_eval(call.args[0]): _defaults(node) for _, node, call in _marked(folder, decorator)}


def _defaults(node: ast.FunctionDef | ast.ClassDef) -> dict[str, Any]:
    own = [member for member in node.body if isinstance(member, ast.FunctionDef) and member.name == "__init__"]
    functions = [node] if isinstance(node, ast.FunctionDef) else own
    defaults: dict[str, Any] = {}
    for function in functions:
        for parameter, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            with contextlib.suppress(ValueError):  # not a literal
                if default is not None:
                    defaults[parameter.arg] = ast.literal_eval(default)
    return defaults
