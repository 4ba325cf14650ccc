"""Datasets of PyTorch and tonic, by an entry in a suite and as objects; messages about items of another form."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tonic
import torch

import throughtime as tt
from throughtime.datasets.files import fetch
from throughtime.datasets.torch_sequences import TorchSequences, sequences_of
from throughtime.errors import UsageError

FILE = """
import numpy as np
import torch
from torch.utils.data import Dataset

generator = torch.Generator().manual_seed(0)
x, y = torch.rand(30, 5, 3, generator=generator), torch.arange(30) % 3


class Mine(Dataset):
    def __init__(self, start, stop):
        self.start, self.stop = start, stop

    def __len__(self):
        return self.stop - self.start

    def __getitem__(self, i):
        return x[self.start + i], y[self.start + i].item()


train = Mine(0, 20)


def test():
    return Mine(20, 30)


number = 5


def broken():
    raise RuntimeError("no disk")
"""
SUITE = """
suite: mine
rules: [bptt]
neurons: [lif]
networks: [{name: recurrent, hidden: [4]}]
datasets: [{name: torch, label: mine, train: "data.py:train", test: "data.py:test"}]
passes: [train]
training: {epochs: 1, batch: 8}
"""
EVENTS = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.py").write_text(FILE)
    return tmp_path


def mine(**entries):
    return TorchSequences(**{"train": "data.py:train", "test": "data.py:test", **entries})


def test_the_items_are_the_sequences_in_their_order():
    dataset = mine()
    x = torch.rand(30, 5, 3, generator=torch.Generator().manual_seed(0))
    assert (dataset.steps, dataset.inputs, dataset.outputs, dataset.layout) == (5, 3, 3, None)
    assert [dataset.size(split) for split in ("train", "validation", "test")] == [18, 2, 10]
    batch = next(dataset.batches("test", 10))
    assert torch.equal(batch[0], x[20:].transpose(0, 1)) and batch[1].tolist() == [i % 3 for i in range(20, 30)]


def test_a_change_is_noticed_by_prepare():
    before = mine().sha256()
    assert mine().sha256() == before
    path = fetch.cache().parent / "data.py"
    written = path.stat().st_mtime_ns
    path.write_text(FILE.replace("manual_seed(0)", "manual_seed(1)"))
    os.utime(path, ns=(written, written))  # an edit of the same size within the resolution of the clock
    mine().prepare()
    assert mine().sha256() != before


def test_a_change_of_any_file_is_noticed(folder):
    (folder / "other.py").write_text(FILE)
    before = mine(test="other.py:test").sha256()
    (folder / "other.py").write_text(FILE.replace("Mine(20, 30)", "Mine(20, 28)"))
    changed = mine(test="other.py:test")
    assert changed.sha256() != before and changed.size("test") == 8


def test_a_suite_runs_on_an_entry_and_on_objects(folder):
    (folder / "mine.yaml").write_text(SUITE)
    results = tt.run("mine.yaml", "tiny", folder / "runs", quiet=True, jobs=1)
    assert results.frame["status"].tolist() == ["ok"] and results.frame["dataset"].tolist() == ["mine"]
    dataset = mine()
    items = [(torch.rand(5 + i % 2, 3), i % 2) for i in range(20)]
    entry = tt.as_dataset(items, items[:4], label="objects")
    results = tt.run("mine.yaml", "tiny", folder / "runs", set={"datasets": [entry]}, quiet=True, jobs=1)
    assert results.frame["status"].tolist() == ["ok", "ok"] and set(results.frame["dataset"]) == {"mine", "objects"}
    record = results.record("bptt lif mine #0")
    assert record.dataset_sha256 == dataset.sha256()


def test_objects_with_the_same_content_are_the_same_entry():
    items = [(np.full((4, 2), i, np.float32), np.array([0, 1, -1, i % 2])) for i in range(12)]
    entry = tt.as_dataset(items, items[:3])
    assert entry == tt.as_dataset(list(items), items[:3]) != tt.as_dataset(items[1:], items[:3])
    dataset = tt.build_dataset("npz", path=entry["path"])
    assert next(dataset.batches("test", 3))[1].T.tolist() == [[0, 1, -1, 0], [0, 1, -1, 1], [0, 1, -1, 0]]


class Recordings(tonic.Dataset):
    """Two recordings of a sensor of 4 x 3 pixels, one event at each of 6 times."""

    sensor_size, ordering = (4, 3, 2), EVENTS.names

    def __init__(self, transform=None):
        super().__init__("", transform=transform)

    def __len__(self):
        return 12

    def __getitem__(self, i):
        events = np.zeros(6, EVENTS)
        events["t"], events["x"], events["y"], events["p"] = np.arange(6), i % 4, i % 3, i % 2
        return (events if self.transform is None else self.transform(events)), i % 2


def test_frames_of_tonic_are_images():
    frames = tonic.transforms.ToFrame(Recordings.sensor_size, n_time_bins=3)
    data = Recordings(frames)
    entry = tt.as_dataset(data, data)
    dataset = tt.build_dataset("npz", path=entry["path"])
    assert (dataset.steps, dataset.inputs, dataset.layout) == (3, 24, (2, 3, 4))
    x = next(dataset.batches("test", 12))[0].view(3, 12, 2, 3, 4)
    assert x.sum() == 12 * 3 and (x[:, 5, 1, 2, 1] == 1).all()  # an event at a time, at the first three
    network = tt.build_network("recurrent", dataset.inputs, 2, hidden=[4])
    assert network.unroll(x.flatten(2), network.initial_state(12)).last().shape == (12, 2)


class Failing:
    """A dataset that cannot read its items."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        raise IndexError(f"no item {i}")


def test_items_may_require_gradients():
    x = torch.ones(3, 2, requires_grad=True)
    assert sequences_of([(x, 0)], "train").x[0].tolist() == x.tolist()


@pytest.mark.parametrize(
    "items, what",
    [
        ([(np.zeros(3, EVENTS), 0)], "x is events"),
        ([(np.zeros(3), 0)], r"x is \[3\], where \[steps, inputs\] is expected"),
        ([(np.zeros((3, 2)), 0), (np.zeros((3, 1)), 0)], r"x is \[3, 1\], not \[steps, 2\]"),
        ([np.zeros((3, 2))], "not a pair"),
        ([([[1.0], [1.0, 2.0]], 0)], "train: item 0: x is no array"),
        ([(torch.ones(3, 2, dtype=torch.bfloat16), 0)], "train: item 0: x is no array"),
        (Failing(), "train: item 0: cannot be read: IndexError: no item 0"),
        ([(np.zeros((3, 2)), "cat")], "y is <U3, not numbers"),
        (iter([]), "is no dataset"),
    ],
)
def test_items_of_another_form_are_refused(items, what):
    with pytest.raises(UsageError, match=what):
        sequences_of(items, "train")


def test_no_item_is_refused():
    with pytest.raises(UsageError, match="no sequence in it"):
        tt.as_dataset([], [])


@pytest.mark.parametrize(
    "entry, what",
    [
        ("data", "is no entry"),
        ("data.py:trian", 'no "trian" in it'),
        ("other.py:train", "no such file"),
        ("no_module_of_this_name:train", 'no installed module "no_module_of_this_name"'),
        ("data.py:number", "int is no dataset"),
        ("data.py:broken", "data.py:broken raised RuntimeError: no disk"),
    ],
)
def test_a_wrong_entry_is_refused(entry, what):
    with pytest.raises(UsageError, match=what):
        mine(train=entry).size("train")
