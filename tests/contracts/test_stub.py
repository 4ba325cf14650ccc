"""The type stub of the package is that of today's components, and type checkers refuse a wrong option by it."""

from __future__ import annotations

import shutil
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt

import throughtime as tt
from throughtime.face.stub import STUB, annotation_text, stub

RIGHT = """
from typing import Any
import throughtime as tt

tt.build_rule("fptt", parts=4).windows(10)
tt.build_network("recurrent", 3, 2, neuron=tt.neuron_type("lif", tau=5.0), hidden=[8])
tt.build_dataset("adding", steps=20)
options: dict[str, Any] = {"parts": 4}
for name in ("bptt", "fptt"):
    tt.build_rule(name)
tt.build_rule("fptt", **options)
tt.build_rule("a_plugin", **options)
"""
WRONG = {
    'tt.build_rule("fptt", prats=4)': '"prats" for overloaded function "build_rule"; did you mean "parts"',
    'tt.build_rule("fptt", parts="four")': 'No overload variant of "build_rule"',
    'tt.neuron_type("lif", reset="nought")': 'No overload variant of "neuron_type"',
    'tt.build_network("recurrent", 3, 2, hiden=[8])': '"hiden" for overloaded function "build_network"',
    'tt.build_dataset("adding", step=3)': '"step" for overloaded function "build_dataset"',
    "tt.lod": 'no attribute "lod"',
}


def test_the_stub_is_that_of_todays_components():
    assert STUB.read_text(encoding="utf-8") == stub(), "run: python -m throughtime.face.stub"


def test_the_stub_has_the_public_names():
    namespace = {line.split()[-1] for line in stub().splitlines() if " import " in line}
    for name in tt.__all__:
        assert name in namespace or f"def {name}(" in stub() or f"\n{name} = " in stub()


def test_mypy_refuses_a_wrong_option_and_no_right_one(tmp_path, monkeypatch):
    """The stub alone is read, without the modules that it imports."""
    api = pytest.importorskip("mypy.api")
    (tmp_path / "throughtime").mkdir()
    shutil.copy(STUB, tmp_path / "throughtime")
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text("\n".join(["import throughtime as tt", *WRONG]))
    monkeypatch.setenv("MYPYPATH", str(tmp_path))
    options = [
        "--config-file=",
        "--follow-imports=skip",
        "--ignore-missing-imports",
        f"--cache-dir={tmp_path / 'cache'}",
    ]
    out, err, _ = api.run([*options, *(str(tmp_path / name) for name in ("throughtime", "right.py", "wrong.py"))])
    lines = out.splitlines()
    assert not err and not any("right.py" in line for line in lines)
    for number, expected in enumerate(WRONG.values(), 2):
        assert any(f"wrong.py:{number}: error" in line and expected in line for line in lines), expected


@pytest.mark.parametrize(
    "kind, text",
    [
        (PositiveInt | None, "int | None"),
        (Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)], "list[float]"),
        (Literal["a", 1], 'Literal["a", 1]'),
        (tuple[int, ...], "tuple[int, ...]"),
        (dict[str, Field], "dict[str, Any]"),
    ],
)
def test_types_are_written_without_their_bounds(kind, text):
    assert annotation_text(kind) == text
