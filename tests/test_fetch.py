"""Where files come from, and what is said when one is missing, truncated or altered. No test uses the network."""

import dataclasses
import gzip
import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests

from throughtime.datasets import fetch, smnist
from throughtime.datasets.idx import read_idx, write_idx
from throughtime.errors import UsageError

CONTENT = b"spikes " * 1000


def make(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No folder of the user's, an empty cache, and a downloader that only records what it was asked for."""
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
    """Two mirrors, of which the second has the file; a dict from URL to what is served."""
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
        "spiky", "Spikes", "spikes.gz", hashlib.md5(CONTENT).hexdigest(), lambda: fetch.Origin(urls, checksum)
    )


# --- where


@pytest.mark.parametrize("place", [".", "raw", "Spikes", "Spikes/raw"])
@pytest.mark.parametrize("name", ["spikes.gz", "spikes"])
def test_found_packed_or_not_in_each_place(file, tmp_path, monkeypatch, isolated, place, name):
    path = make(tmp_path / "data" / place / name)
    monkeypatch.setenv(fetch.DATA, str(tmp_path / "data"))
    assert fetch.obtain(file).resolve() == path.resolve()
    assert fetch.unpacked(path) == CONTENT
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
    assert fetch.unpacked(path) == CONTENT
    served.clear()
    assert fetch.obtain(file) == path == fetch.download(file)


def test_download_with_another_content_is_refused(file, served):
    make(served["https://two.invalid/spikes.gz"], CONTENT[:-1])
    with pytest.raises(UsageError, match=r"\(HTTP 404, the mirror's file has a wrong checksum\)"):
        fetch.obtain(file)
    assert fetch.find(file) is None


def test_download_replaces_an_altered_file_in_the_cache(file, served):
    path = make(fetch.cache() / "Spikes" / "spikes.gz", b"other")
    assert fetch.download(file) == path
    assert fetch.unpacked(path) == CONTENT


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
    monkeypatch.undo()
    assert fetch.downloader().kwargs["timeout"][0] <= 5


# --- contents


def test_truncated_gzip(tmp_path):
    packed = make(tmp_path / "spikes.gz").read_bytes()
    for length in (3, 20, len(packed) // 2, len(packed) - 1):
        (tmp_path / "spikes.gz").write_bytes(packed[:length])
        with pytest.raises(UsageError, match=r"spikes\.gz: truncated"):
            fetch.unpacked(tmp_path / "spikes.gz")


def test_damaged_gzip(tmp_path):
    packed = bytearray(make(tmp_path / "spikes.gz").read_bytes())
    for position in (12, len(packed) // 2, len(packed) - 6):
        damaged = packed.copy()
        damaged[position] ^= 0xFF
        (tmp_path / "spikes.gz").write_bytes(damaged)
        with pytest.raises(UsageError, match=r"spikes\.gz: (damaged|truncated)"):
            fetch.unpacked(tmp_path / "spikes.gz")


def test_packed_file_under_an_unpacked_name(tmp_path):
    shutil.move(make(tmp_path / "spikes.gz"), tmp_path / "spikes")
    assert fetch.unpacked(tmp_path / "spikes") == CONTENT


def test_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        fetch.unpacked(tmp_path)


def test_verify(file):
    fetch.verify(file, Path("spikes.gz"), CONTENT)
    with pytest.raises(UsageError, match=r"spikes\.gz: wrong checksum") as caught:
        fetch.verify(file, Path("spikes.gz"), CONTENT + b"!")
    assert len(str(caught.value).splitlines()) == 2


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


# --- IDX


def test_idx_by_hand():
    content = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
    array = read_idx(content, Path("a"))
    assert array.dtype == np.uint8 and array.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert write_idx(array) == content


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "truncated: 0 bytes"),
        (bytes([0, 0, 8]), "truncated: 3 bytes"),
        (bytes([0, 0, 8, 2, 0, 0, 0, 2, 0]), "truncated: 9 bytes"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 1]), "truncated: 9 of 10 bytes"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 2, 3]), "11 bytes where its header says 10"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), "not an IDX file of unsigned bytes"),
        (b"<!DOCTYPE html>", "not an IDX file of unsigned bytes"),
    ],
)
def test_idx_that_is_not_right(content, problem):
    with pytest.raises(UsageError, match=f"^images: {problem}"):
        read_idx(content, Path("images"))


# --- MNIST's four files, made small


@pytest.fixture
def made(tmp_path):
    """Four IDX files, two packed and two not: 12 training images of 2x3 pixels and 4 test images."""
    random = np.random.RandomState(0)
    arrays = [random.randint(0, 256, shape).astype(np.uint8) for shape in ((12, 2, 3), (12,), (4, 2, 3), (4,))]
    for array in arrays[1::2]:
        array %= 10
    names = [file.name.removesuffix(".gz") for file in smnist.FILES]
    suffixes = (".gz", "", "", ".gz")
    paths = [
        make(tmp_path / "MNIST" / "raw" / (name + suffix), write_idx(array))
        for name, suffix, array in zip(names, suffixes, arrays, strict=True)
    ]
    return arrays, paths


def test_mnist_files_by_hand(made):
    (train_images, train_labels, test_images, test_labels), paths = made
    read = smnist.read(paths, steps=6, held_out=2, known=False)
    assert read.x[3, :, 0].tolist() == train_images[3].flatten().tolist()
    assert read.x[13, :, 0].tolist() == test_images[1].flatten().tolist()
    assert read.target.tolist() == [*train_labels, *test_labels]
    assert {split: len(index) for split, index in read.splits.items()} == {"train": 10, "validation": 2, "test": 4}
    digest = hashlib.sha256(b"".join(map(write_idx, (train_images, train_labels, test_images, test_labels))))
    assert read.sha256 == digest.hexdigest()


def test_files_that_are_not_mnist(made, tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.DATA, str(tmp_path))
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte\.gz: wrong checksum"):
        smnist.SequentialMNIST().size("train")


def test_truncated_mnist_file(made, tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.DATA, str(tmp_path))
    path = made[1][0]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte\.gz: truncated"):
        smnist.SequentialMNIST().size("train")
    path.unlink()
    make(path.with_suffix(""), write_idx(made[0][0])[:-1])
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte: truncated: 87 of 88 bytes"):
        smnist.SequentialMNIST().size("train")


def test_missing_mnist_file(isolated):
    with pytest.raises(UsageError, match=r"smnist: train-images-idx3-ubyte\.gz is not here.*\(no connection\)"):
        next(smnist.SequentialMNIST().batches("train", 1))
    assert all(url.startswith("http") and url.endswith("train-images-idx3-ubyte.gz") for url in isolated)


def test_preparing_finds_what_is_missing_broken_or_altered(made, tmp_path, monkeypatch, isolated):
    with pytest.raises(UsageError, match=r"smnist: train-images-idx3-ubyte\.gz is not here"):
        smnist.SequentialMNIST().prepare()
    monkeypatch.setenv(fetch.DATA, str(tmp_path))
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte\.gz: wrong checksum"):
        smnist.SequentialMNIST().prepare()
    known = [
        dataclasses.replace(f, md5=hashlib.md5(write_idx(a)).hexdigest())
        for f, a in zip(smnist.FILES, made[0], strict=True)
    ]
    monkeypatch.setattr(smnist.SequentialMNIST, "files", tuple(known))
    dataset = smnist.SequentialMNIST()
    dataset.prepare()
    assert "arrays" not in vars(dataset)
    path = made[1][3]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UsageError, match=r"t10k-labels-idx1-ubyte\.gz: truncated"):
        dataset.prepare()


def test_mnist_origins_are_known():
    for file in smnist.FILES:
        urls, checksum = file.origin()
        assert urls and all(url.endswith("/" + file.name) for url in urls)
        assert checksum.startswith("md5:") and len(checksum) == 36


def test_made_mnist_needs_no_network(isolated):
    dataset = smnist.SequentialMNIST.tiny()
    assert [dataset.size(split) for split in ("train", "validation", "test")] == [40, 10, 14]
    # The stroke of a label lies where the label says: 3 is the row 1 + 3 of 7, 8 the column 1 + 8 % 5.
    for x, target in dataset.batches("train", 1):
        bright = (x.view(7, 7) >= 0xC0 / 255).tolist()
        label = target.item()
        lines = bright if label < 5 else zip(*bright, strict=True)
        assert [all(line) for line in lines].index(True) == 1 + label % 5
        assert sum(map(sum, bright)) == 7
    assert isolated == []
