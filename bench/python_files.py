"""Import of a Python file that a user names by its path."""

from __future__ import annotations

import hashlib
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType


class _SourceLoader(SourceFileLoader):
    """Compiles the file as it is. Python's bytecode beside it counts as current after an edit that keeps the size and
    comes within a second; the digest of the source would then not be that of the code that runs."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def module_name(prefix: str, path: Path) -> str:
    """Return the name under which a file is imported: prefix, stem, and a digest of its path."""
    return f"{prefix}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def import_file(path: Path, name: str) -> ModuleType:
    """Execute a file and return it as a module, which is in `sys.modules` unless the file raises."""
    spec = spec_from_file_location(name, path, loader=_SourceLoader(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
