"""Names of classes: one name, one thing."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.contracts.test_rooms import FILES


def test_a_public_class_name_means_one_thing():
    places = defaultdict(list)
    for _, path in FILES:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
