"""tonic is GPL-3.0-only: it is imported while event files are read, and at no other time.

That no library imports it either is seen in tests/running/engines/test_local.py, where all that passes need is loaded.
"""

from __future__ import annotations

import ast

from tests.contracts.test_rooms import FILES, ROOT

READERS_OF_EVENTS = {
    "datasets/frames.py: to_frames",
    "datasets/nmnist.py: events_of",
    "datasets/spiking_audio.py: binned",
}


def imports_of_tonic(source: str) -> list[str]:
    """Return the functions of a source that import tonic; an empty name stands for an import outside of functions."""
    result = []

    def visit(node: ast.AST, function: str) -> None:
        function = node.name if isinstance(node, ast.FunctionDef) else function
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        result.extend(function for name in names if name.partition(".")[0] == "tonic")
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(source), "")
    return result


def test_only_readers_of_event_files_import_tonic():
    texts = {str(path.relative_to(ROOT)): path.read_text("utf-8") for _, path in FILES}
    assert {f"{path}: {name}" for path, text in texts.items() for name in imports_of_tonic(text)} == READERS_OF_EVENTS
    assert imports_of_tonic("import tonic.io\ndef f():\n    from tonic import x") == ["", "f"]
