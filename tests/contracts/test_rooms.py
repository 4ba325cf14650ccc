"""The order of the rooms: a module imports from its own room and from those before it."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
GROUND_FLOOR = (
    "display errors printing renamed spec registry options collector whole_files markdown source_digest paper_folders"
    " python_files option_model"
)
ROOMS = [
    GROUND_FLOOR,
    "numerics",
    "datasets records suites",
    *("neurons", "networks", "algorithms", "harness", "measuring", "passes"),
    *("checks running comparing reports", "peers", "commands face", "__init__ __main__"),
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms.split()}
FILES = [
    (path.relative_to(ROOT / top).with_suffix("").parts if top == "bench" else (top,), path)
    for top in ("bench", "algorithms", "datasets", "networks", "neurons", "numerics", "reports")
    for path in (ROOT / top).rglob("*.py")
]


def imported(source: str) -> set[str]:
    """Rooms, or modules of the ground floor, that a source imports, at import time or later."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "throughtime":
            names |= {f"throughtime.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[1] for name in names if name.startswith("throughtime.")}


def upward(room: str, source: str) -> set[str]:
    """Return the rooms that a module of `room` imports although they do not stand before its own."""
    others = (imported(source) & LEVEL.keys()) - {room}
    return {other for other in others if LEVEL[other] >= LEVEL[room] and not (LEVEL[other] == LEVEL[room] == 0)}


def test_every_module_has_a_place():
    assert {parts[0] for parts, _ in FILES} == LEVEL.keys()


def test_imports_go_one_way():
    result = {str(path.relative_to(ROOT)): upward(parts[0], path.read_text("utf-8")) for parts, path in FILES}
    assert {path: rooms for path, rooms in result.items() if rooms} == {}


def test_an_import_that_goes_up_is_found():
    assert upward("neurons", "from throughtime.networks.base import Network") == {"networks"}
    assert upward("harness", "def f():\n    from throughtime import commands") == {"commands"}
    assert upward("records", "import throughtime.datasets.task") == {"datasets"}
    assert upward("reports", "from throughtime.comparing.compare import compare") == {"comparing"}
    assert upward("comparing", "from throughtime.reports.tables import Table") == {"reports"}
    assert upward("harness", "from throughtime.networks.base import Network") == set()
