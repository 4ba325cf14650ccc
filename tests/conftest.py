"""Tests run on one thread: two on a busy machine can be a hundred times slower. Reports' tests share stores."""

import atexit
import gc
import os
import sys
import tempfile
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"  # where a test takes two, one that waits sleeps: the cores are busy
atexit.register(gc.unfreeze)  # libraries print what the interpreter then does not collect
gc.set_threshold(20_000, 20, 20)  # collections of garbage are a tenth of the time of imports and compilations
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # processes of tests need not compile the sources again, 0.7 s each
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Measurements on a machine wait for each other, by a lock in this folder; those of two workers need not.
    folder = Path(tempfile.gettempdir()) / f"throughtime-{os.getuid()}-{worker}"
    folder.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


@pytest.fixture(autouse=True, scope="module")
def few_objects():
    """Collections skip what exists before the tests of a file, imported modules and compiled loops above all."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def numbers_as_they_were():
    """A pass that is run in this process flushes denormals to zero; other tests count on the smallest numbers."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
def isolated_registries():
    """Components and plugins of a test are gone after it."""
    from throughtime import registry

    with registry.isolated():
        yield


@pytest.fixture
def tensor_operations():
    """Networks run without compiled loops, for a test whose numbers do not depend on them: to compile takes seconds."""
    from throughtime.numerics.loops import without_compiled_loops

    with without_compiled_loops():
        yield


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Results of a grid of records: ok, skipped, diverged, with and without costs."""
    from tests.synthetic_records import grid_store
    from throughtime.records.results import Results

    return Results.load(grid_store(tmp_path_factory.mktemp("grid")).folder)


@pytest.fixture
def store(tmp_path):
    """A store with nothing in it."""
    from throughtime.records.store import Store

    return Store(tmp_path)
