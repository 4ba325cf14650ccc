"""Prepared arrays: built once, whole or not at all, as compact as they can be, and anew when anything changes."""

import multiprocessing
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from throughtime import source_digest
from throughtime.datasets import arrays, prepared
from throughtime.datasets.detection import generated
from throughtime.datasets.files import cache
from throughtime.datasets.prepared import PreparedDataset
from throughtime.errors import UsageError
from throughtime.registry import DATASETS


def test_built_once_for_a_key(tmp_path):
    builds = []

    def build(folder):
        builds.append(folder)
        (folder / "x").write_text("x")

    place = cache.prepared(tmp_path, "toy", {"steps": 3}, build)
    assert cache.prepared(tmp_path, "toy", {"steps": 3}, build) == place
    assert (place / "x").read_text() == "x"
    assert cache.prepared(tmp_path, "toy", {"steps": 4}, build) != place
    assert len(builds) == 2


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def build(folder):
        (folder / "x").write_text("half")
        raise UsageError("NaN in it")

    with pytest.raises(UsageError, match="NaN in it"):
        cache.prepared(tmp_path, "toy", {}, build)
    assert [path.name for path in (tmp_path / "prepared").iterdir() if path.suffix != ".lock"] == []
    assert cache.prepared(tmp_path, "toy", {}, lambda folder: None).is_dir()  # nor does it stand in the way


def test_what_a_killed_build_left_is_swept_up(tmp_path):
    place = cache.prepared(tmp_path, "toy", {}, lambda folder: None)
    place.rename(place.with_name(f".{place.name}-abcdef"))
    assert cache.prepared(tmp_path, "toy", {}, lambda folder: None) == place
    assert [path.name for path in place.parent.iterdir() if path.is_dir()] == [place.name]


def test_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"the cache cannot be written: .*\n.*THROUGHTIME_CACHE"):
        cache.prepared(tmp_path / "file", "toy", {}, lambda folder: None)


def _ask(folder, barrier):
    def build(into):
        with (folder / "builds").open("a") as log:
            log.write("built\n")
        np.save(into / "x.npy", np.arange(100_000))

    barrier.wait()
    place = cache.prepared(folder, "toy", {"of": "four"}, build)
    assert np.load(place / "x.npy", mmap_mode="c")[-1] == 99_999


def test_four_processes_build_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    asking = [context.Process(target=_ask, args=(tmp_path, barrier)) for _ in range(4)]
    for process in asking:
        process.start()
    for process in asking:
        process.join()
    assert [process.exitcode for process in asking] == [0] * 4
    assert (tmp_path / "builds").read_text() == "built\n"


# --- arrays


@pytest.mark.parametrize(
    "rows, kind",
    [
        ([[0, 255], [3, 4]], np.uint8),
        ([[0, 1], [3, 256]], np.int16),
        ([[0, 255], [-1, 4]], np.int16),
        ([[0, 1], [-1, 4]], np.int16),  # unsigned first: only 16 bits hold both
        ([[-1, 1], [0, -128]], np.int8),
        ([[0.5, 1.0], [2.0, 3.0]], np.float32),
    ],
)
def test_numbers_are_stored_in_as_few_bits_as_hold_them(rows, kind, tmp_path):
    cache.write_rows(tmp_path / "x.npy", 2, enumerate(np.array(rows)))
    stored = np.load(tmp_path / "x.npy")
    assert stored.dtype == kind and stored.tolist() == rows
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_rows_may_come_in_any_order(tmp_path):
    cache.write_rows(tmp_path / "x.npy", 3, ((i, np.full(2, i)) for i in (2, 0, 1)))
    assert np.load(tmp_path / "x.npy").tolist() == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize("width", [1, 7, 8, 9, 17])
def test_bits_there_and_back(width, tmp_path):
    x = np.random.RandomState(0).randint(0, 3, (4, 5, width))
    cache.write_rows(tmp_path / "x.npy", 4, enumerate(x), bits=True)
    stored = np.load(tmp_path / "x.npy")
    assert stored.shape == (4, 5, -(-width // 8)) and stored.dtype == np.uint8
    assert (cache.unpacked(stored, width) == (x > 0)).all()


def test_each_row_written_is_told_of(tmp_path):
    def rows(fail):
        yield from enumerate(np.zeros((2, 3)))
        if fail:
            raise UsageError("truncated")
        yield 2, np.ones(3)

    told = []
    with cache.on_progress(lambda done, count: told.append((done, count))):
        cache.write_rows(tmp_path / "x.npy", 3, rows(False))
        with pytest.raises(UsageError):
            cache.write_rows(tmp_path / "y.npy", 3, rows(True))
    cache.write_rows(tmp_path / "z.npy", 3, rows(False))  # nobody watches any more
    assert told == [(1, 3), (2, 3), (3, 3), (1, 3), (2, 3)]


# --- code


def digest_of(code, folder, monkeypatch):
    path = Path(tempfile.mkdtemp(dir=folder), "toy.py")  # another file each time: a file is read once a process
    path.write_text(textwrap.dedent(code))
    monkeypatch.setattr(source_digest, "_source_file", {"toy": path}.get)
    return source_digest.source_digest("toy")


def test_digest_of_code_changes_with_the_code_alone(tmp_path, monkeypatch):
    first = digest_of("def f(x):\n    return x + 1\n", tmp_path, monkeypatch)
    same = digest_of(
        '"""Module."""\ndef f(x):\n    """One more."""\n    return (x +  # why\n            1)\n', tmp_path, monkeypatch
    )
    assert same == first
    assert digest_of("def f(x):\n    return x + 2\n", tmp_path, monkeypatch) != first


# --- options in the key of prepared arrays

OUTSIDE = {
    "path": "the raw data's digest is that of its files",
    "part": "names the files, whose digest is in the key",
    "train": "a split is cut when it is used",
    "validation": "likewise",
    "test": "likewise",
    "permutation": "pixels are permuted when a batch is gathered",
    "form": "spikes are made when a batch is gathered",
    "root": "the raw data's digest is that of its files",
    "years": "name the files, whose digest is in the key",
    "limit": "a split is cut when it is used",
    "changes": "images are changed when a batch is gathered",
    "smoothing": "an option of the loss",
    "noise": "shapes the recordings, whose digest is in the key",
}
"""Options that do not shape prepared arrays, or are in their key otherwise; and why."""


def from_files():
    for name in DATASETS.names():
        component = DATASETS[name]
        if isinstance(component.factory, type) and issubclass(component.factory, PreparedDataset):
            required = {o: "x" for o, field in component.options.model_fields.items() if field.is_required()}
            yield component, component.factory(**required)


def test_every_option_of_a_dataset_is_in_the_key_of_its_arrays():
    """Otherwise images of one file would be shown for as many steps as in the first run."""
    left_out = {}
    for component, dataset in from_files():
        images = component.name in ("mnist", "fashion_mnist", "bccd", "voc", "rectangles")
        shown_when_used = (
            {"steps", "code", "tau", "threshold"}
            if images
            else {"pool"}
            if component.name == "smnist_pooled"
            else set()
        )
        keyed = {*dataset.parameters(), *OUTSIDE, *shown_when_used}
        file_options = {"npz": ["path"], "ts": ["path"], "torch": ["train", "test"]}.get(component.name)
        if file_options:
            keyed |= {
                *component.factory(**dict.fromkeys(file_options, "x"), label_at="end").parameters(),
                *file_options,
            }
            keyed |= {"validation"} if component.name == "torch" else set()
        if missing := {*component.options.model_fields} - keyed:
            left_out[component.name] = missing
    assert left_out == {}


def test_arrays_of_other_options_or_data_lie_in_other_folders(monkeypatch, tmp_path):
    keys = []
    monkeypatch.setattr(cache, "prepared", lambda top, name, key, make: keys.append(key) or tmp_path)
    for steps, digest in ((50, "0"), (100, "0"), (100, "1")):
        DATASETS["fsdd"].factory(steps=steps).built([], 64 * digest, "fsdd")
    assert [key["parameters"]["steps"] for key in keys] == [50, 100, 100]
    assert keys[0] != keys[1] != keys[2], "other options, other raw data"


def test_the_key_covers_the_code_of_splits_and_of_the_numbers_of_classes(monkeypatch, tmp_path):
    keys = []
    monkeypatch.setattr(cache, "prepared", lambda top, name, key, make: keys.append(key) or tmp_path)
    monkeypatch.setattr(prepared, "source_digest", lambda module, beside: [module, *beside])
    DATASETS["bccd"].factory().built([], 64 * "0", "bccd")
    assert {arrays.__name__, generated.__name__} <= {*keys[0]["code"]}
