"""The key of machine code on disk: an edit anywhere below a loop makes the loop compile anew."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import throughtime.numerics.loops
from throughtime.numerics.loop_key import key_of

HEAD = "from throughtime.numerics.loops import compiled\n"
FILES = {
    "top": "from mid import mid\n@compiled\ndef top(x, y):\n    mid(x, y)\n",
    "mid": "from low import low\n@compiled\ndef mid(x, y):\n    low(x, y)\n",
    "low": "from deep import deep\n@compiled\ndef low(x, y):\n    for i in range(len(x)):\n        y[i] = deep(x[i])\n",
    "deep": "from constant import STEP\n@compiled\ndef deep(v):\n    return 2.0 * v + STEP\n",
    "other": "@compiled\ndef other(x, y):\n    y[0] = x[0]\n",
}
"""A loop that reaches the function `deep` three calls down, in a fourth module, and its constant in a fifth."""

RUN = """
import torch
from top import top
from other import other
from throughtime.numerics.norm_loops import normalise
from throughtime.numerics.loop_key import key_of

x, y = torch.ones(1), torch.zeros(1)
other(x, y)
top(x, y)
hits = [sum(loop.jitted(False).stats.cache_hits.values()) for loop in (top, other)]
print(float(y), *hits, key_of(normalise))
"""


def test_an_edit_three_calls_deep_is_compiled_anew(tmp_path):
    """In a fresh process each time, with the machine code of the runs before on disk."""
    (tmp_path / "constant.py").write_text("STEP = 1.0\n")
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(HEAD + text)

    def run() -> list[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", RUN]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert not result.returncode, result.stderr
        return result.stdout.split()

    *first, key = run()
    assert first == ["3.0", "0", "0"]
    edit(tmp_path / "deep.py", "2.0 * v", "7.0 * v")
    assert run() == ["8.0", "0", "1", key], "a function; what was not edited comes from disk, under the same key"
    edit(tmp_path / "constant.py", "1.0", "5.0")
    assert run() == ["12.0", "0", "1", key], "a constant"
    assert run() == ["12.0", "1", "1", key], "nothing"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


LEVEL, TABLE, FIGURES = 1.5, np.arange(3.0), (1, 2.0, "x")


def innermost(x):
    return x + 1.0


def inner(x):
    return innermost(x) + LEVEL + TABLE[0]


def outer(x):
    def nested(y):
        return inner(y) + FIGURES[1] - 4

    return nested(x)


def twin(x):
    return x + LEVEL - TABLE[0]


@pytest.mark.parametrize(
    "name, value",
    [
        ("LEVEL", 1.25),
        ("TABLE", np.array([0, 1, 2.5])),
        ("FIGURES", (1, 3.0, "x")),
        ("inner", twin),
        ("innermost", abs),
    ],
)
def test_the_key_follows_all_that_is_reached_by_name(name, value, monkeypatch):
    before = key_of(outer)
    assert key_of(outer) == before != key_of(outer, "an option of the compiler")
    monkeypatch.setitem(globals(), name, value)
    assert key_of(outer) != before


def test_the_key_follows_the_constants_of_a_function():
    first, other = (eval(f"lambda x: x + {c}") for c in (1.0, 2.0))
    assert first.__code__.co_code == other.__code__.co_code
    assert key_of(first) != key_of(other)


def test_the_key_follows_what_a_closure_holds():
    def with_constant(c):
        return lambda x: x + c

    assert key_of(with_constant(1.0)) == key_of(with_constant(1.0)) != key_of(with_constant(2.0))


def test_functions_that_call_each_other_have_a_key(monkeypatch):
    monkeypatch.setitem(globals(), "inner", outer)
    assert len(key_of(outer)) == 16


class Inner(NamedTuple):
    x: Any


class Pair(NamedTuple):
    a: Any
    b: Inner


def reads_fields(pair: Pair | None):
    return pair.a - pair.b.x


@pytest.mark.parametrize(
    "name, fields",
    [("Pair", [("b", Inner), ("a", Any)]), ("Inner", [("w", Any), ("x", Any)])],
    ids=["another order", "another field of a field"],
)
def test_the_key_follows_the_fields_of_named_tuples(name, fields, monkeypatch):
    before = key_of(reads_fields)
    assert key_of(reads_fields) == before
    monkeypatch.setitem(globals(), name, NamedTuple(name, fields))
    assert key_of(reads_fields) != before


OF_ARRAYS = {"shape", "size", "dtype", "ndim", "T", "strides", "itemsize", "ctypes", "sum", "view", "ravel"}


def unannotated(source: str) -> list[str]:
    """Return the fields that compiled loops of a module read of parameters without a class as annotation."""
    result = []
    for loop in ast.walk(ast.parse(source)):
        if isinstance(loop, ast.FunctionDef) and "compiled" in map(ast.unparse, loop.decorator_list):
            plain = {p.arg for p in loop.args.args if p.annotation is None or ast.unparse(p.annotation) == "Any"}
            reads = (node for node in ast.walk(loop) if isinstance(node, ast.Attribute))
            result += [f"{loop.name}: {ast.unparse(n)}" for n in reads if ast.unparse(n.value) in plain]
    return [name for name in result if name.rpartition(".")[2] not in OF_ARRAYS]


def test_parameters_whose_fields_loops_read_are_annotated():
    """Otherwise the key on disk would not follow the order of the fields."""
    root = Path(throughtime.numerics.loops.__file__).parent.parent
    files = [
        path for room in ("numerics", "neurons", "networks", "algorithms") for path in root.glob(f"{room}/**/*.py")
    ]
    assert len(files) > 40
    assert [name for path in files for name in unannotated(path.read_text())] == []
    assert unannotated("@compiled\ndef f(x: Any, m: Any, n: Map):\n    x[m.first] = n.last\n") == ["f: m.first"]
