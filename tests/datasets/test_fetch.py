"""Sources of files, and messages about missing, truncated or altered ones. No test uses the network."""

import dataclasses
import gzip
import hashlib
import os
import shutil
from pathlib import Path

import pooch
import pytest
import requests

from throughtime.datasets.files import archive, download, fetch
from throughtime.errors import UsageError

CONTENT = b"spikes " * 1000


def make(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def unpacked(path: Path) -> bytes:
    with archive.single(path) as stream:
        return stream.read()


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No folder of the user's, an empty cache, and a downloader that only records the requested addresses."""
    monkeypatch.setenv(fetch.DATA, "")
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))
    asked = []

    def downloader():
        def refuse(url, output_file, pooch):
            asked.append(url)
            raise requests.ConnectionError("a paragraph about a host that cannot be reached")

        return refuse

    monkeypatch.setattr(fetch, "downloader", downloader)
    return asked


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Two mirrors, of which the second has the file; a dict from URL to content."""
    pages = {"https://two.invalid/spikes.gz": make(tmp_path / "served" / "spikes.gz")}

    def downloader():
        def copy(url, output_file, pooch):
            if url not in pages:
                response = requests.Response()
                response.status_code = 404
                raise requests.HTTPError(response=response)
            shutil.copy(pages[url], output_file)

        return copy

    monkeypatch.setattr(fetch, "downloader", downloader)
    return pages


@pytest.fixture
def file(tmp_path):
    packed = make(tmp_path / "origin" / "spikes.gz")
    checksum = f"md5:{hashlib.md5(packed.read_bytes()).hexdigest()}"
    urls = ["https://one.invalid/spikes.gz", "https://two.invalid/spikes.gz"]
    return fetch.DataFile(
        "spiky", "Spikes", "spikes.gz", hashlib.sha256(CONTENT).hexdigest(), lambda: fetch.Origin(urls, checksum)
    )


# --- where


@pytest.mark.parametrize("place", [".", "raw", "Spikes", "Spikes/raw"])
@pytest.mark.parametrize("name", ["spikes.gz", "spikes"])
def test_found_packed_or_not_in_each_place(file, tmp_path, monkeypatch, isolated, place, name):
    path = make(tmp_path / "data" / place / name)
    monkeypatch.setenv(fetch.DATA, str(tmp_path / "data"))
    assert fetch.obtain(file).resolve() == path.resolve()
    assert unpacked(path) == CONTENT
    assert isolated == []


def test_source_order(file, tmp_path, monkeypatch, isolated):
    folders = [tmp_path / name for name in ("added", "added_too", "named", "named_too")]
    paths = [make(folder / "spikes.gz") for folder in [*folders, fetch.cache() / file.folder]]
    monkeypatch.setenv(fetch.DATA, os.pathsep.join(map(str, folders[2:])))
    fetch.add_source(folders[0], folders[1])
    assert fetch.sources() == folders
    for path in paths:
        assert fetch.obtain(file) == path
        path.unlink()
    assert isolated == []
    with pytest.raises(UsageError):
        fetch.obtain(file)
    assert len(isolated) == 2


def test_source_is_inherited_and_named_once(tmp_path, monkeypatch):
    fetch.add_source(tmp_path)
    fetch.add_source(tmp_path)
    assert os.environ[fetch.DATA] == str(tmp_path)


def test_source_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        fetch.add_source(tmp_path / "nowhere")
    assert fetch.sources() == []


def test_cache_default(monkeypatch):
    monkeypatch.delenv(fetch.CACHE)
    assert fetch.cache() == pooch.os_cache("throughtime")


# --- downloads


def test_download_falls_back_to_the_next_mirror_and_is_kept(file, served):
    path = fetch.obtain(file)
    assert path == fetch.cache() / "Spikes" / "spikes.gz"
    assert unpacked(path) == CONTENT
    served.clear()
    assert fetch.obtain(file) == path == fetch.fetch(file)


def test_download_with_another_content_is_refused(file, served):
    make(served["https://two.invalid/spikes.gz"], CONTENT[:-1])
    with pytest.raises(UsageError, match=r"\(HTTP 404, the file of the mirror has a wrong checksum\)"):
        fetch.obtain(file)
    assert fetch.find(file) is None


def test_download_without_a_checksum_of_the_archive_is_kept_only_if_its_content_is_right(file, served):
    file = dataclasses.replace(file, origin=lambda: fetch.Origin(["https://two.invalid/spikes.gz"], None))
    make(served["https://two.invalid/spikes.gz"], CONTENT[:-1])
    with pytest.raises(UsageError, match=r"\(the file of the mirror: wrong checksum: SHA-256 "):
        fetch.obtain(file)
    assert fetch.find(file) is None
    make(served["https://two.invalid/spikes.gz"])
    assert unpacked(fetch.obtain(file)) == CONTENT


def test_a_connection_that_breaks_is_told_from_none(file, monkeypatch):
    def breaks(url, output_file, pooch):
        raise requests.exceptions.ChunkedEncodingError("IncompleteRead")

    monkeypatch.setattr(fetch, "downloader", lambda: breaks)
    with pytest.raises(UsageError, match=r"\(the connection broke: the next attempt resumes there\)"):
        fetch.obtain(file)


def test_download_replaces_an_altered_file_in_the_cache(file, served):
    path = make(fetch.cache() / "Spikes" / "spikes.gz", b"other")
    assert fetch.fetch(file) == path
    assert unpacked(path) == CONTENT


def test_offline(file, tmp_path, monkeypatch, isolated):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv(fetch.DATA, str(tmp_path / "data"))
    with pytest.raises(UsageError) as caught:
        fetch.obtain(file)
    first, second = str(caught.value).splitlines()
    assert first == "spiky: spikes.gz is not here, and cannot be downloaded (no connection)"
    for said in (tmp_path / "data", tmp_path / "cache", "--source", fetch.DATA, "throughtime data fetch spiky"):
        assert str(said) in second
    assert isolated == file.origin().urls


def test_cache_that_cannot_be_written(file, served, tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.CACHE, str(make(tmp_path / "a file")))
    with pytest.raises(UsageError, match=r"cannot be downloaded \(.*a file.*: .*\)"):
        fetch.obtain(file)


def test_connecting_gives_up_after_seconds(monkeypatch):
    assert download.CONNECT_TIMEOUT <= 5


# --- contents


def test_truncated_gzip(tmp_path):
    packed = make(tmp_path / "spikes.gz").read_bytes()
    for length in (3, 20, len(packed) // 2, len(packed) - 1):
        (tmp_path / "spikes.gz").write_bytes(packed[:length])
        with pytest.raises(UsageError, match=r"spikes\.gz: truncated"):
            unpacked(tmp_path / "spikes.gz")


def test_damaged_gzip(tmp_path):
    packed = bytearray(make(tmp_path / "spikes.gz").read_bytes())
    for position in (12, len(packed) // 2, len(packed) - 6):
        damaged = packed.copy()
        damaged[position] ^= 0xFF
        (tmp_path / "spikes.gz").write_bytes(damaged)
        with pytest.raises(UsageError, match=r"spikes\.gz: (damaged or truncated|truncated)"):
            unpacked(tmp_path / "spikes.gz")


def test_packed_file_under_an_unpacked_name(tmp_path):
    shutil.move(make(tmp_path / "spikes.gz"), tmp_path / "spikes")
    assert unpacked(tmp_path / "spikes") == CONTENT


def test_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        unpacked(tmp_path)


def test_content_is_checked(file, tmp_path):
    path = make(tmp_path / "spikes.gz")
    assert fetch.content_digest(file, path) == file.sha256
    make(path, CONTENT + b"!")
    with pytest.raises(UsageError, match=r"spikes\.gz: wrong checksum: SHA-256") as caught:
        fetch.content_digest(file, path)
    assert len(str(caught.value).splitlines()) == 2


def test_file_as_downloaded_is_checked_where_its_content_is_not_known(file, served):
    file = dataclasses.replace(file, sha256=None)
    path = fetch.obtained(file)
    make(path, CONTENT + b"!")
    with pytest.raises(UsageError, match=r"spikes\.gz: wrong checksum: MD5"):
        fetch.obtained(file)


def test_what_was_checked_is_read_again_only_if_it_changed(file, tmp_path, monkeypatch):
    path = make(tmp_path / "spikes.gz")
    monkeypatch.setenv(fetch.DATA, str(tmp_path))
    looks = []
    monkeypatch.setattr(fetch, "content_sha256", lambda f, p, real=fetch.content_sha256: looks.append(p) or real(f, p))
    for _ in range(3):
        assert fetch.obtained(file) == path
    assert looks == [path]
    assert fetch.report([file], check=True) == [(file, path, None)]  # asked to, it looks all the same
    assert looks == [path, path]
    path.touch()
    os.utime(path, ns=(1, 1))
    fetch.obtained(file)
    assert looks == [path, path, path]


def test_report(file, tmp_path, monkeypatch, isolated):
    monkeypatch.setenv(fetch.DATA, str(tmp_path))
    assert fetch.report([file], check=True) == [(file, None, None)]
    path = make(tmp_path / "spikes.gz")
    assert fetch.report([file], check=True) == [(file, path, None)]
    make(path, b"other")
    assert fetch.report([file]) == [(file, path, None)]
    ((_, _, problem),) = fetch.report([file], check=True)
    assert problem.startswith("wrong checksum")
    assert isolated == []
