"""Contract of datasets from files: files that are missing, others, unpacked or cut short.

The files are those that `tiny` of the dataset writes, in the place of the real ones.
"""

from __future__ import annotations

import dataclasses
import gzip
import shutil
from pathlib import Path

import pytest
import torch

from throughtime.datasets.files import fetch
from throughtime.errors import UsageError
from throughtime.registry import DATASETS

PACKED = {".gz": "gztar", ".zip": "zip"}


def readers():
    """Yield one dataset for each way to read files."""
    kinds = {name: DATASETS[name].factory for name in DATASETS.names() if DATASETS[name].factory.files}
    yield from {kind.build: name for name, kind in reversed(kinds.items())}.values()


@pytest.fixture(params=readers())
def kind(request, monkeypatch, source):
    """The class of a dataset, without network."""
    monkeypatch.setattr(fetch, "downloader", lambda: lambda *asked: (_ for _ in ()).throw(OSError(0, "refused")))
    return DATASETS[request.param].factory


def from_files(kind):
    """Return the tiny dataset as one that reads the files of the real one."""
    dataset = kind.tiny()
    del dataset.files
    dataset.write_files = None
    return dataset


def written(kind, folder):
    """Write the files of the tiny dataset, with names that the real ones may have; return their paths."""
    paths = kind.tiny().write_files(folder)
    names = [path.name if path.name in (file.name, *file.also) else file.name for path, file in pairs(paths, kind)]
    return [
        Path(shutil.copy(path, folder / n)) if path.name != n else path for path, n in zip(paths, names, strict=True)
    ]


def pairs(paths, kind):
    """Return the written files with those of the real dataset, of which there may be more."""
    return zip(paths, kind.files[: len(paths)], strict=True)


@pytest.fixture
def unchecked(kind, monkeypatch):
    """No checksum of a file is known."""
    files = tuple(dataclasses.replace(file, sha256=None, origin=None) for file in kind.files)
    monkeypatch.setattr(kind, "files", files)


def is_same(dataset, tiny):
    pairs = zip(dataset.batches("test", 9), tiny.batches("test", 9), strict=True)
    return dataset.sha256() == tiny.sha256() and all(torch.equal(batch.x, other.x) for batch, other in pairs)


def nothing_is_prepared(source):
    return not [path for path in (source.parent / "cache" / "prepared").glob("*") if path.is_dir()]


def test_files_that_are_not_there(kind):
    with pytest.raises(UsageError, match=f"{kind.files[0].dataset}.* is not here"):
        from_files(kind).prepare()


def test_files_with_another_content(kind, source):
    path = written(kind, source)[0]
    path.rename(path.with_name(kind.files[0].name))  # of some datasets, only the checksum of the download is known
    with pytest.raises(UsageError, match=f"{kind.files[0].name}: wrong checksum"):
        from_files(kind).prepare()
    assert nothing_is_prepared(source)


def test_files_as_they_are_downloaded(kind, unchecked, source):
    written(kind, source)
    assert is_same(from_files(kind), kind.tiny())


def test_unpacked_files(kind, unchecked, source):
    paths = written(kind, source)
    if paths[0].suffix not in PACKED:
        pytest.skip("its files are not packed")
    for path, file in pairs(paths, kind):
        packed = path.rename(source.parent / path.name)
        if file.inside:
            form = PACKED[path.suffix]
            shutil.unpack_archive(packed, path, form, **({} if form == "zip" else {"filter": "data"}))
            for inner in path.glob("*.zip"):
                shutil.unpack_archive(inner, path)
                inner.unlink()
        else:
            path.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    assert is_same(from_files(kind), kind.tiny())


def test_a_file_that_is_cut_short(kind, unchecked, source):
    path = written(kind, source)[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UsageError, match=path.name):
        from_files(kind).prepare()
    assert nothing_is_prepared(source)
