"""How tables and figures show a component: its order, title and colour.

Reports need only records. They read the declarations from the source of a component's decorator, because importing the
component would import torch.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import NamedTuple


class Display(NamedTuple):
    """Appearance of a component in tables and figures."""

    name: str
    order: int | None = None
    """Position; components without one come last, sorted by name."""
    title: str | None = None
    """Display name; None: `name`."""
    colour: str | None = None
    """Colour of its lines in figures, in matplotlib's notation; None: the next colour of the palette."""


@functools.cache
def declared(folder: Path, decorator: str) -> tuple[Display, ...]:
    """Return the displays that `@decorator("name", ...)` declares with literals in the Python files below a folder."""
    displays = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
            for call in node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else ():
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == decorator:
                    options = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
                    displays.append(Display(*map(ast.literal_eval, call.args), **options))
    return tuple(displays)
