"""Datasets: facts worked by hand, and the contract that every registered dataset keeps."""

import os
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch
from sklearn.datasets import load_digits

from throughtime.datasets.adding import Adding
from throughtime.datasets.arrays import ArrayDataset, Arrays, stratified_order
from throughtime.datasets.base import Dataset
from throughtime.datasets.digits import Digits
from throughtime.datasets.smnist import SequentialMNIST
from throughtime.datasets.task import Regression
from throughtime.registry import DATASETS

SPLITS = ("train", "validation", "test")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def whole(dataset: Dataset, split: str, batch: int = 7, generator: torch.Generator | None = None):
    """All of a split: x [steps, sequences, inputs] and target."""
    batches = list(dataset.batches(split, batch, generator))
    return torch.cat([b.x for b in batches], dim=1), torch.cat([b.target for b in batches])


class Counting(ArrayDataset):
    """Sequence i is 10 i, 10 i + 1, 10 i + 2, in units of 10: 7 to train on, 3 and 2 to hold out."""

    unit, inputs, steps, outputs = 10.0, 1, 3, 1
    task = Regression(chance=1.0)
    loads = 0

    @classmethod
    def tiny(cls):
        return cls()

    def load(self):
        self.loads += 1
        x = (10 * torch.arange(12).view(12, 1) + torch.arange(3)).to(torch.uint8).unsqueeze(2)
        splits = dict(zip(SPLITS, torch.arange(12).split([7, 3, 2]), strict=True))
        return Arrays(x, torch.arange(12), splits, sha256="0" * 64)


# --- the contract, on every registered dataset


@pytest.fixture(scope="module", params=DATASETS.names())
def tiny(request) -> Dataset:
    return DATASETS[request.param].factory.tiny()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("seed", [None, 3])
def test_contract_shapes(tiny, split, seed):
    left = tiny.size(split)
    batch = left // 2 + 1  # so that the second batch, the last, is smaller
    for x, target in tiny.batches(split, batch, None if seed is None else seeded(seed)):
        rows = min(batch, left)
        assert x.shape == (tiny.steps, rows, tiny.inputs)
        assert x.dtype == torch.float32
        assert x.is_contiguous() and x.isfinite().all()
        # A view would count, and keep alive, more memory than the batch.
        assert x.untyped_storage().nbytes() == x.numel() * 4
        if isinstance(tiny.task, Regression):
            assert target.shape == (rows, tiny.outputs)
            assert target.dtype == torch.float32 and target.isfinite().all()
        else:
            assert target.shape == (rows,)
            assert target.dtype == torch.int64
            assert target.min() >= 0 and target.max() < tiny.outputs
        left -= rows
    assert left == 0


def test_contract_larger_batch_than_the_split(tiny):
    (only,) = tiny.batches("test", 10_000)
    assert len(only.target) == tiny.size("test")


def test_contract_task_takes_the_targets(tiny):
    _, target = whole(tiny, "test")
    output = torch.zeros(len(target), tiny.outputs)
    assert tiny.task.loss(output, target).isfinite()
    assert tiny.task.score(output, target).shape == (len(target),)
    assert 0 < tiny.task.chance < 1


def test_contract_same_seed_same_order(tiny):
    first, again, other = (whole(tiny, "train", 8, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_contract_held_out_sequences_stay_the_same(tiny, split):
    x, target = whole(tiny, split)
    same_x, same_target = whole(type(tiny).tiny(), split, batch=4)
    assert torch.equal(x, same_x) and torch.equal(target, same_target)
    # In another order they are the same sequences still.
    other_x, _ = whole(tiny, split, generator=seeded(1))
    assert sorted(x.transpose(0, 1).flatten(1).tolist()) == sorted(other_x.transpose(0, 1).flatten(1).tolist())


def test_contract_batches_can_be_written_on(tiny):
    before, _ = whole(tiny, "test")
    for x, target in tiny.batches("test", 4):
        x.zero_()
        target.zero_()
    after, _ = whole(tiny, "test")
    assert torch.equal(before, after)


def test_contract_sha256(tiny):
    digest = tiny.sha256()
    assert digest is None or (len(digest) == 64 and int(digest, 16) >= 0)
    assert digest == type(tiny).tiny().sha256()


def test_contract_licence(tiny):
    assert tiny.licence != "unknown"


@pytest.mark.parametrize("name", DATASETS.names())
def test_contract_data_come_from_files_or_it_is_said_from_where(name):
    kind = DATASETS[name].factory
    assert bool(kind.files) == (kind.origin == "unknown")
    assert bool(kind.files) == (kind.prepare is not Dataset.prepare)


def test_contract_tiny_needs_no_files(tiny):
    assert tiny.files == ()
    assert tiny.prepare() is None


@pytest.mark.parametrize("name", DATASETS.names())
def test_defaults_build_without_loading(name, monkeypatch):
    def refuse(self):
        raise AssertionError("read at construction")

    monkeypatch.setattr(ArrayDataset, "arrays", property(refuse))
    component = DATASETS[name]
    built = component.factory(**component.checked({}))
    assert built.steps > 1 and built.inputs >= 1 and built.outputs >= 1


# --- in memory


def test_arrays_are_time_major_and_in_units():
    x, target = whole(Counting(), "validation", batch=2)
    assert torch.equal(x[:, :, 0], torch.tensor([[7.0, 8.0, 9.0], [7.1, 8.1, 9.1], [7.2, 8.2, 9.2]]))
    assert target.tolist() == [7, 8, 9]


def test_every_sample_exactly_once_an_epoch():
    for generator in (None, seeded(0), seeded(1)):
        _, target = whole(Counting(), "train", 3, generator)
        assert sorted(target.tolist()) == list(range(7))
        assert (target.tolist() == list(range(7))) == (generator is None)


def test_order_differs_from_epoch_to_epoch_of_one_generator():
    generator, dataset = seeded(0), Counting()
    assert whole(dataset, "train", 3, generator)[1].tolist() != whole(dataset, "train", 3, generator)[1].tolist()


def test_x_and_target_stay_together():
    x, target = whole(Counting(), "train", 3, seeded(0))
    assert torch.equal(x[0, :, 0], target.float())


def test_limit_and_loading_once():
    dataset = Counting()
    dataset.limit = {"train": 4, "test": None}
    assert dataset.loads == 0
    assert [dataset.size(split) for split in SPLITS] == [4, 3, 2]
    assert whole(dataset, "train")[1].tolist() == [0, 1, 2, 3]
    assert dataset.sha256() == "0" * 64
    assert dataset.loads == 1


def test_stratified_order_keeps_shares_in_every_stretch():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = stratified_order(labels, seed=1)
    assert sorted(order) == list(range(1000))
    for start in range(0, 1000, 50):
        for stop in range(start + 50, 1001, 50):
            counts = np.bincount(labels[order[start:stop]], minlength=3)
            assert np.abs(counts - (stop - start) * np.array([0.6, 0.3, 0.1])).max() <= 2


def test_stratified_order_is_random_within_and_between_classes():
    labels = np.tile(np.arange(10), 20)
    one, same, other = (stratified_order(labels, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert labels[one][:10].tolist() != labels[one][10:20].tolist()


# --- digits


def test_digits_pixel_order():
    raw = load_digits()
    pixels, rows = Digits(steps=64), Digits(steps=8)
    position = pixels.arrays.splits["train"][0].item()
    image = torch.from_numpy(raw.images[position]).float() / 16
    x, target = next(iter(pixels.batches("train", 1)))
    assert target.item() == raw.target[position]
    for r in range(8):
        for c in range(8):
            assert x[8 * r + c, 0, 0] == image[r, c]
    assert torch.equal(next(iter(rows.batches("train", 1))).x[:, 0, :], image)


def test_digits_first_image_has_the_printed_pixels():
    # The first image of the file, a zero: its second row is 0 0 13 15 10 15 5 0.
    assert Digits(steps=8).arrays.x[0, 1].tolist() == [0, 0, 13, 15, 10, 15, 5, 0]
    assert Digits().arrays.target[0] == 0


def test_digits_split():
    digits, rows = Digits(), Digits(steps=8)
    index = digits.arrays.splits
    assert [digits.size(split) for split in SPLITS] == [1257, 180, 360]
    assert sorted(torch.cat([index[split] for split in SPLITS]).tolist()) == list(range(1797))
    share = digits.arrays.target.bincount() / 1797
    for split in SPLITS:
        assert torch.equal(index[split], rows.arrays.splits[split])
        count = digits.arrays.target[index[split]].bincount(minlength=10)
        assert (count - share * digits.size(split)).abs().max() <= 2
    # The split is part of what a number means: it must never move.
    assert index["test"][:5].tolist() == [1048, 937, 1111, 1165, 52]


def test_digits_tiny_is_part_of_the_split():
    whole_index, tiny_index = Digits().arrays.splits, Digits.tiny().arrays.splits
    for split in SPLITS:
        assert torch.equal(tiny_index[split], whole_index[split][: len(tiny_index[split])])


def test_digits_options():
    component = DATASETS["digits"]
    assert component.checked({}) == {"steps": 64}
    with pytest.raises(pydantic.ValidationError):
        component.checked({"steps": 16})


# --- adding


@pytest.mark.parametrize("steps", [2, 3, 11, 200])
@pytest.mark.parametrize("split", SPLITS)
def test_adding_target_and_markers(steps, split):
    x, target = whole(Adding(steps=steps, sequences=500, held_out=400), split, 128, seeded())
    value, mark = x.unbind(2)
    assert ((mark == 0) | (mark == 1)).all()
    assert (mark[: steps // 2].sum(0) == 1).all()
    assert (mark[(steps + 1) // 2 :].sum(0) == 1).all()
    assert (mark.sum(0) == 2).all()
    assert torch.equal((value * mark).sum(0, keepdim=True).T, target)
    assert value.min() >= 0 and value.max() < 1


def test_adding_of_two_steps_is_their_sum():
    x, target = whole(Adding(steps=2), "test", 128)
    assert torch.equal(x[:, :, 1], torch.ones(2, 1000))
    assert torch.equal(target[:, 0], x[0, :, 0] + x[1, :, 0])


def test_adding_markers_reach_both_ends_of_their_half_and_never_the_middle():
    mark = whole(Adding(steps=5, sequences=400), "train")[0][:, :, 1].sum(1)
    # 400 markers over two steps a half: 200 each, standard deviation 10.
    assert mark[2] == 0
    assert ((mark[[0, 1, 3, 4]] - 200).abs() < 40).all()


def test_adding_mean_and_variance():
    n = 20_000
    dataset = Adding(steps=10, sequences=n)
    _, target = whole(dataset, "train", 1000, seeded())
    # The sum of two U(0, 1) has variance 1/6 and fourth central moment 1/15, so the squared deviation has variance
    # 1/15 - 1/36 = 7/180.
    assert abs(target.mean() - 1) < 4 * (1 / 6 / n) ** 0.5
    assert abs((target - 1).square().mean() - 1 / 6) < 4 * (7 / 180 / n) ** 0.5
    assert dataset.task.chance == 1 / 6


def test_adding_training_is_fresh_and_held_out_is_fixed():
    dataset, generator = Adding(steps=20, sequences=64, held_out=64), seeded()
    first, second = (whole(dataset, "train", 64, generator)[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(whole(dataset, "train", 64)[0], whole(dataset, "train", 64)[0])
    splits = [whole(dataset, split, 64)[0] for split in SPLITS]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert torch.isin(splits[i][:, :, 0], splits[j][:, :, 0]).float().mean() < 0.01
    for split in ("validation", "test"):
        assert torch.equal(whole(dataset, split, 64)[0], whole(dataset, split, 5)[0])


@pytest.mark.parametrize(
    "split, start", [("validation", [0.634845, 1.384786, 0.947267]), ("test", [0.970171, 1.733574, 1.305341])]
)
def test_adding_held_out_never_moves(split, start):
    # Recorded once: what was measured on these sequences stays comparable only while they stay the same.
    _, target = next(Adding().batches(split, 3))
    assert target.flatten().tolist() == pytest.approx(start, abs=1e-6)


def test_adding_options():
    component = DATASETS["adding"]
    assert component.checked({"steps": 2}) == {"steps": 2, "sequences": 1280, "held_out": 1000}
    for wrong in ({"steps": 1}, {"sequences": 0}, {"held_out": -1}, {"steps": 10.0}):
        with pytest.raises(pydantic.ValidationError):
            component.checked(wrong)


# --- MNIST itself, where it is


@pytest.fixture(scope="module")
def mnist():
    beside = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("THROUGHTIME_TEST_DATA") or beside)
    if not (folder / "MNIST").is_dir():
        pytest.skip("needs MNIST: THROUGHTIME_TEST_DATA names no folder that holds it")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THROUGHTIME_DATA", str(folder))
        dataset = SequentialMNIST()
        dataset.size("train")
        yield dataset


def test_mnist_split(mnist):
    index, labels = mnist.arrays.splits, mnist.arrays.target
    assert [mnist.size(split) for split in SPLITS] == [55_000, 5_000, 10_000]
    assert sorted(torch.cat([index["train"], index["validation"]]).tolist()) == list(range(60_000))
    assert sorted(index["test"].tolist()) == list(range(60_000, 70_000))
    share = labels[:60_000].bincount() / 60_000
    assert (labels[index["validation"]].bincount() - 5000 * share).abs().max() <= 2
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert labels[60_000:60_005].tolist() == [7, 2, 1, 0, 4]


def test_mnist_pixels_against_another_reader(mnist):
    from throughtime.datasets.fetch import unpacked
    from throughtime.datasets.smnist import FILES

    path = Path(os.environ["THROUGHTIME_DATA"], "MNIST", "raw", FILES[0].name)
    if not path.is_file():
        pytest.skip("MNIST lies there in another form")
    position = mnist.arrays.splits["train"][0].item()
    # An IDX file of images has 16 bytes before the first, and 784 bytes an image.
    image = unpacked(path)[16 + 784 * position : 16 + 784 * (position + 1)]
    x = next(iter(mnist.batches("train", 1))).x
    assert x.shape == (784, 1, 1)
    assert x.flatten().tolist() == (torch.tensor(list(image)) / 255).tolist()


def test_mnist_is_kept_as_bytes(mnist):
    assert mnist.arrays.x.dtype == torch.uint8
    assert mnist.arrays.x.untyped_storage().nbytes() == 70_000 * 784


def test_mnist_sha256(mnist):
    assert mnist.sha256() == "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"


def test_mnist_limits_take_the_start_of_a_split(mnist, monkeypatch):
    monkeypatch.setattr(SequentialMNIST, "load", lambda self: mnist.arrays)
    few = SequentialMNIST(train=100, validation=50, test=20)
    assert [few.size(split) for split in SPLITS] == [100, 50, 20]
    assert torch.equal(few.arrays.splits["test"], mnist.arrays.splits["test"][:20])
    assert (few.arrays.target[few.arrays.splits["train"]].bincount(minlength=10) - 10).abs().max() <= 3


def test_smnist_options():
    component = DATASETS["smnist"]
    assert component.checked({"train": 1000}) == {"train": 1000, "validation": None, "test": None}
    for wrong in ({"train": 0}, {"train": 55_001}, {"validation": 5_001}, {"test": 10_001}):
        with pytest.raises(pydantic.ValidationError):
            component.checked(wrong)
