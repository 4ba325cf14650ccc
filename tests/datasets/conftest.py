"""An empty folder of the user and an empty cache, for datasets from files."""

import pytest

from throughtime.datasets.files import fetch


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The folder of the user, which is empty, as is the cache beside it."""
    monkeypatch.setenv(fetch.DATA, str(tmp_path / "data"))
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"
