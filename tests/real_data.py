"""Real files for tests: the folder that THROUGHTIME_DATA names, if it is set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = os.environ.get("THROUGHTIME_DATA", "").split(os.pathsep)[0]


def real(name: str) -> Path:
    """The path of a real file or folder; skips the test where it is not there."""
    path = Path(FOLDER, name)
    if not FOLDER or not path.exists():
        pytest.skip(f"needs {name} in the folder that THROUGHTIME_DATA names")
    return path


@pytest.fixture(scope="module")
def real_source(tmp_path_factory):
    """The real folder as the one source, and a cache of this module's own."""
    if not FOLDER:
        pytest.skip("needs real files: THROUGHTIME_DATA names no folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THROUGHTIME_DATA", FOLDER)
        patch.setenv("THROUGHTIME_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Path(FOLDER)
