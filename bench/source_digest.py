"""Digests of source code that change with the code and not with its comments.

A digest covers the syntax trees of modules, without comments, docstrings and layout. Versions of Python that parse the
code into the same syntax tree give the same digest.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.errors import UsageError


class Source(NamedTuple):
    """The parts of a file that a digest needs."""

    tree: str
    """The syntax tree as text."""
    imports: frozenset[str]
    """Names of modules that it may import: both `a` and `a.b` for `from a import b`."""


def source_digest(module: str, beside: Iterable[str] = (), followed: Iterable[str] = ()) -> str:
    """Return 12 hexadecimal digits for the code of modules and of their imports, recursively.

    Files are read once per process; later edits are not seen. Nothing is imported.

    Args:
        module: the module's name. The name is not part of the digest, because a plugin's contains the path of its file.
        beside: names of further modules.
        followed: packages whose modules are included when imported, except under TYPE_CHECKING.

    Raises:
        UsageError: a module has no source file, so that a change of its code could not be detected.
    """
    waiting: list[tuple[str, Path]] = []
    for name in (module, *beside):
        if (path := _source_file(name)) is None:
            raise UsageError(
                f"{name} has no source file", hint="move it into a file of its own, and pass that file as a plugin"
            )
        waiting.append((name, path))
    packages = tuple(followed)
    trees: dict[str, str] = {}
    while waiting:
        name, path = waiting.pop()
        if name not in trees:
            trees[name] = _read(path, name).tree
            waiting += _imported(path, name, packages)
    own = trees.pop(module)
    text = "\n".join([own, *(f"{name} {tree}" for name, tree in sorted(trees.items()))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_imported(packages: Iterable[str]) -> None:
    """Read the files of all modules of these packages that are imported; their digests do not see later edits."""
    tops = tuple(packages)
    for name in [name for name in sys.modules if _is_inside(name, tops)]:
        if path := _source_file(name):
            _read(path, name)


def _is_inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == top or module.startswith(f"{top}.") for top in packages)


def _source_file(module: str) -> Path | None:
    """Return the .py file of a module; None if the name is not a module, or the module has no source file."""
    package = module.rpartition(".")[0]
    around = _source_file(package) if package else None
    if around is not None and around.name != "__init__.py":
        return None  # a name inside a module; asking for its spec would import that module
    spec = _spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _spec(module: str) -> ModuleSpec | None:
    """Return the spec of a module; unlike `importlib.util.find_spec`, without the import of its package."""
    if imported := sys.modules.get(module):
        return imported.__spec__
    package = module.rpartition(".")[0]
    around = _spec(package) if package else None
    if package and (around is None or around.submodule_search_locations is None):
        return None
    places = around.submodule_search_locations if around else None
    return next((spec for finder in sys.meta_path if (spec := finder.find_spec(module, places))), None)


@functools.cache
def _read(path: Path, module: str) -> Source:
    """Parse a file, once per process: a file that changes later is not the code that was imported."""
    tree = ast.parse(path.read_bytes(), str(path))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return Source(_text(tree), frozenset(_imports(tree, package)))


@functools.cache
def _imported(path: Path, module: str, packages: tuple[str, ...]) -> list[tuple[str, Path]]:
    """Return the modules of packages that a file imports, and their files; the search takes longer than parsing."""
    names = (name for name in _read(path, module).imports if _is_inside(name, packages))
    return [(name, file) for name in names if (file := _source_file(name)) is not None]


def _text(node: Any) -> str:
    """Return a syntax tree as text, the same in all Python versions: unlike `ast.dump`, it omits empty fields."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return f"{type(node).__name__}({', '.join(f'{name}={_text(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(_text(item) for item in node if not _is_comment(item))}]"
    return repr(node)


def _is_comment(node: ast.AST) -> bool:
    """Return whether a node is a string statement: the docstring of a module, class, function or field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif not isinstance(node, ast.expr):  # an expression has no imports
        children: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            children = node.orelse
        for child in children:
            yield from _imports(child, package)
