"""An empty folder of the user and an empty cache, for datasets from files; one decoder of recordings."""

from contextlib import nullcontext

import pytest

from throughtime.datasets import cifar10_dvs
from throughtime.datasets.aedat import AedatReader
from throughtime.datasets.files import fetch


@pytest.fixture(autouse=True, scope="session")
def one_decoder():
    """All builds of CIFAR10-DVS decode in one process: its start takes three seconds of imports."""
    with AedatReader() as reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10_dvs, "AedatReader", lambda: nullcontext(reader))
        yield


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The folder of the user, which is empty, as is the cache beside it."""
    monkeypatch.setenv(fetch.DATA, str(tmp_path / "data"))
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"
