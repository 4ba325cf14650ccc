"""A file has at most 350 lines and a function at most 8 arguments, apart from options that users name."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.contracts.test_rooms import FILES, ROOT

LINES, ARGUMENTS = 350, 8
REGISTERS = {"algorithm", "neuron", "network", "dataset"}
"""Decorators of components, whose keyword-only parameters are their options in a suite."""
PYTHON_FACE = {"bench/face/api.py: run"}
"""Functions with the options of a command."""


def too_many(path: str, source: str) -> Iterator[str]:
    """Yield the functions of a file with more arguments than allowed."""
    tree = ast.parse(source)
    component_nodes = {id(part) for node in ast.walk(tree) if _registers(node) for part in (node, *_constructors(node))}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or id(node) in component_nodes:
            continue
        is_command = path.startswith("bench/commands/") and not node.name.startswith("_")
        a = node.args
        given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        given = [argument for argument in given if argument.arg not in ("self", "cls", "ctx")]
        if len(given) > ARGUMENTS and not is_command and f"{path}: {node.name}" not in PYTHON_FACE:
            yield f"{path}: {node.name}"


def _registers(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", ())
    return any(isinstance(d, ast.Call) and getattr(d.func, "id", "") in REGISTERS for d in decorators)


def _constructors(node: ast.AST) -> Iterator[ast.AST]:
    return (part for part in getattr(node, "body", ()) if getattr(part, "name", "") == "__init__")


def test_no_function_has_more_than_8_arguments_and_no_file_more_than_350_lines():
    texts = {str(path.relative_to(ROOT)): path.read_text("utf-8") for _, path in FILES}
    assert [name for path, text in texts.items() for name in too_many(path, text)] == []
    assert [path for path, text in texts.items() if text.count("\n") > LINES] == []


def test_a_ninth_argument_is_found():
    nine = "a, b, c, d, e, f, *, g, h, i"
    assert [*too_many("x.py", f"def f({nine}): ...")] == ["x.py: f"]
    assert [*too_many("x.py", f"class C:\n    def __init__(self, {nine}): ...")] == ["x.py: __init__"]
    assert [*too_many("x.py", f"@neuron('n')\nclass C:\n    def step(self, {nine}): ...")] == ["x.py: step"]
    assert [*too_many("x.py", f"@neuron('n')\nclass C:\n    def __init__(self, {nine}): ...")] == []
    assert [*too_many("x.py", f"@network('n')\ndef f({nine}): ...")] == []
