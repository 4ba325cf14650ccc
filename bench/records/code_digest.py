"""Digests of source code, so that a run's id changes when the code behind its numbers does, and not with a comment.

A digest is taken over the syntax tree of the module that defines a component and of the modules that it imports from
the folders of components. Comments, docstrings and layout have no part in it; imports for type checkers are not
followed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.errors import UsageError
from throughtime.registry import KINDS, Component
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


class Source(NamedTuple):
    """What a digest takes from one file."""

    tree: str
    """The syntax tree as text."""
    imports: frozenset[str]
    """Names of modules that it may import: of `from a import b` both `a` and `a.b`."""


def code_of(spec: RunSpec) -> dict[str, str]:
    """Digests of the code of a run's rule, neuron, network, dataset and harness, as it is on disk.

    Of each file, that is, what it held when a digest of this process first took it.
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
    """12 hexadecimal digits for the code of a module and of what it imports, recursively.

    Raises:
        UsageError: the module has no source file, so that nothing would tell one state of it from another.
    """
    if _source_file(name) is None:
        raise UsageError(f"{name} has no source file", hint="put it into a file, and name that with --plugin")
    top = name.partition(".")[0]
    followed = FOLLOWED if top == "throughtime" else (*FOLLOWED, top)
    trees: dict[str, str] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        path = None if module in trees else _source_file(module)
        if path is None:
            continue
        source = _read(path, module)
        trees[module] = source.tree
        waiting += (m for m in source.imports if any(m == root or m.startswith(f"{root}.") for root in followed))
    own = trees.pop(name)  # without its name: a plugin's holds the path of its file
    text = "\n".join([own, *(f"{module} {tree}" for module, tree in sorted(trees.items()))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _source_file(module: str) -> Path | None:
    """The .py file of a module; None if the name is no module, or one without a source."""
    package = module.rpartition(".")[0]
    around = _source_file(package) if package else None
    if around is not None and around.name != "__init__.py":
        return None  # a name inside a module; asking for its spec would import that module
    try:
        spec = getattr(sys.modules.get(module), "__spec__", None) or importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _read(path: Path, module: str) -> Source:
    """Read once a process: a file that changes later is not the code that was imported."""
    tree = ast.parse(path.read_bytes(), str(path))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return Source(_text(tree), frozenset(_imports(tree, package)))


def _text(node: Any) -> str:
    """A syntax tree as text that the Python version leaves alone: what is empty is not named (`ast.dump` differs)."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return f"{type(node).__name__}({', '.join(f'{name}={_text(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(_text(item) for item in node if not _is_comment(item))}]"
    return repr(node)


def _is_comment(node: ast.AST) -> bool:
    """A text that stands alone does nothing: a docstring, of a module, class, function or field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    else:
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for child in node.orelse if typing_only else ast.iter_child_nodes(node):
            yield from _imports(child, package)
