"""Datasets: facts worked by hand, and the contract that every registered dataset keeps."""

import math
import subprocess
import sys

import numpy as np
import pydantic
import pytest
import torch
from sklearn.datasets import load_digits

from throughtime.datasets import arrays
from throughtime.datasets.adding import Adding
from throughtime.datasets.arrays import ArrayDataset, Arrays, stratified_order
from throughtime.datasets.base import Dataset
from throughtime.datasets.detection.task import Detection
from throughtime.datasets.digits import Digits
from throughtime.datasets.task import Distribution, MultiLabel, Regression
from throughtime.registry import DATASETS

SPLITS = ("train", "validation", "test")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def whole(dataset: Dataset, split: str, batch: int = 7, generator: torch.Generator | None = None):
    """Return all of a split: x [steps, sequences, inputs] and target."""
    batches = list(dataset.batches(split, batch, generator))
    targets = torch.cat([b.target for b in batches], dim=int(dataset.task.per_step))
    return torch.cat([b.x for b in batches], dim=1), targets


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


@pytest.mark.parametrize("numbers", [1, 3, 4, 6, 21])
def test_a_batch_written_in_blocks_is_the_batch_written_at_once(numbers, monkeypatch):
    at_once = whole(Counting(), "train", 5, seeded())
    monkeypatch.setattr(arrays, "BLOCK", numbers)  # of 3 numbers a sequence
    in_blocks = whole(Counting(), "train", 5, seeded())
    assert all(map(torch.equal, in_blocks, at_once))
    assert sorted(in_blocks[0][0].flatten().tolist()) == [0, 1, 2, 3, 4, 5, 6]


# --- the contract, on every registered dataset


@pytest.fixture(scope="module", params=DATASETS.names())
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def tiny(name) -> Dataset:
    return DATASETS[name].factory.tiny()


@pytest.fixture(scope="module")
def again(name) -> Dataset:
    """The same once more: its files are written, read and prepared anew."""
    return DATASETS[name].factory.tiny()


def asked(dataset: Dataset, target: torch.Tensor) -> torch.Tensor:
    """Return the targets of the steps that have one."""
    if not dataset.task.per_step:
        return target
    return target[~target.isnan().any(-1)] if target.is_floating_point() else target[target >= 0]


def own_memory(x: torch.Tensor) -> torch.Tensor:
    """The inputs, or the one step of them that is shown at all."""
    return x[:1] if x.stride(0) == 0 else x


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("seed", [None, 3])
def test_contract_shapes(tiny, split, seed):
    left = tiny.size(split)
    batch = left // 2 + 1  # so that the second batch, the last, is smaller
    for x, target, per_step in tiny.batches(split, batch, None if seed is None else seeded(seed)):
        rows = min(batch, left)
        assert x.shape == (tiny.steps, rows, tiny.inputs)
        assert x.dtype == torch.float32
        once = own_memory(x)
        assert once.is_contiguous() and x.isfinite().all()
        # A view of more would count, and keep alive, more memory than the batch.
        assert x.untyped_storage().nbytes() == once.numel() * 4
        assert target.untyped_storage().nbytes() == target.numel() * target.element_size()
        assert per_step == tiny.task.per_step
        leading = (tiny.steps, rows) if per_step else (rows,)
        if isinstance(tiny.task, (Regression, Distribution, MultiLabel)):
            assert target.shape == (*leading, tiny.outputs)
            assert target.dtype == torch.float32 and asked(tiny, target).isfinite().all()
        elif isinstance(tiny.task, Detection):
            assert target.shape == (rows, target.shape[1], 6) and target.dtype == torch.float32
            assert (target[..., 0] >= 0).any() and target[..., 0].max() < len(tiny.task.classes)
        else:
            assert target.shape == leading
            assert target.dtype == torch.int64
            assert target.min() >= -int(per_step) and target.max() < tiny.outputs
        assert len(asked(tiny, target)) > 0
        left -= rows
    assert left == 0


def test_contract_larger_batch_than_the_split(tiny):
    (only,) = tiny.batches("test", 10_000)
    assert only.x.shape[1] == only.target.shape[int(tiny.task.per_step)] == tiny.size("test")


def test_contract_task_takes_what_is_asked(tiny):
    _, target = whole(tiny, "test")
    target = asked(tiny, target)
    if isinstance(tiny.task, Detection):
        output = {name: torch.zeros(len(target), tiny.outputs, n, n) for name, n in (("coarse", 2), ("fine", 4))}
        meter = tiny.task.meter()
        meter.update(output, target)
        assert tiny.task.loss(output, target).isfinite() and 0 <= meter.compute()["mAP"] < 0.5
        return
    chance = tiny.task.metric.chance  # None where sequences are cut
    output = torch.zeros(len(target), tiny.outputs)
    assert tiny.task.loss(output, target).isfinite()
    if isinstance(tiny.task, MultiLabel):
        meter = tiny.task.meter()
        meter.update(output, target)
        # Zeros give every label a probability of 1/2.
        assert meter.compute() == {"nll": pytest.approx(tiny.outputs * math.log(2)), "frame_accuracy": 0}
        assert chance is None or 0 < chance < tiny.outputs * math.log(2)
        return
    assert tiny.task.score(output, target).shape == (len(target),)
    assert chance is None or 0 < chance < 1


def test_contract_same_seed_same_order(tiny):
    first, again, other = (whole(tiny, "train", 8, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0]) and first[1].numpy().tobytes() == again[1].numpy().tobytes()
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_contract_held_out_sequences_stay_the_same(tiny, again, split):
    x, target = whole(tiny, split)
    same_x, same_target = whole(again, split, batch=4)
    assert torch.equal(x, same_x) and target.numpy().tobytes() == same_target.numpy().tobytes()
    # In another order they are the same sequences still.
    other_x, _ = whole(tiny, split, generator=seeded(1))
    assert sorted(x.transpose(0, 1).flatten(1).tolist()) == sorted(other_x.transpose(0, 1).flatten(1).tolist())


def test_contract_batches_can_be_written_on(tiny):
    before, _ = whole(tiny, "test")
    for x, target, _ in tiny.batches("test", 4):
        own_memory(x).zero_()
        target.zero_()
    after, _ = whole(tiny, "test")
    assert torch.equal(before, after)


def test_contract_sha256(tiny, again):
    digest = tiny.sha256()
    assert digest is None or (len(digest) == 64 and int(digest, 16) >= 0)
    assert digest == again.sha256()


def test_contract_licence(tiny):
    assert tiny.licence != "unknown"


def test_contract_data_come_from_files_or_it_is_said_from_where(name):
    kind = DATASETS[name].factory
    assert bool(kind.files) == (kind.origin == "unknown")
    if kind.files:
        assert kind.prepare is not Dataset.prepare
        assert all(file.dataset == name and file.page for file in kind.files)


def test_contract_tiny_needs_no_files(tiny):
    assert tiny.files == ()
    assert tiny.prepare() is None


def test_defaults_build_without_loading(name, monkeypatch):
    def refuse(self):
        raise AssertionError("read at construction")

    monkeypatch.setattr(ArrayDataset, "arrays", property(refuse))
    component = DATASETS[name]
    needed = {name: "nowhere" for name, option in component.options.model_fields.items() if option.is_required()}
    needed |= {"root": "nowhere"} if "root" in component.options.model_fields else {}
    built = component.factory(**component.checked(needed))
    if not needed:  # of the user's own files, these are in the files
        assert built.steps > 1 and built.inputs >= 1 and built.outputs >= 1


def test_importing_the_datasets_imports_nothing_heavy():
    heavy = ("tonic", "h5py", "scipy", "librosa", "matplotlib", "sklearn", "torchvision", "filelock", "requests")
    code = f"import sys, throughtime.registry as r; r.DATASETS.names(); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


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
    first, same, other = (stratified_order(labels, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    assert labels[first][:10].tolist() != labels[first][10:20].tolist()


# --- digits


def test_digits_pixel_order():
    raw = load_digits()
    pixels, rows = Digits(steps=64), Digits(steps=8)
    position = pixels.arrays.splits["train"][0].item()
    image = torch.from_numpy(raw.images[position]).float() / 16
    x, target, _ = next(iter(pixels.batches("train", 1)))
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
    assert dataset.task.metric.chance == 1 / 6


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
    target = next(Adding().batches(split, 3)).target
    assert target.flatten().tolist() == pytest.approx(start, abs=1e-6)


def test_adding_options():
    component = DATASETS["adding"]
    assert component.checked({"steps": 2}) == {"steps": 2, "sequences": 1280, "held_out": 1000}
    for wrong in ({"steps": 1}, {"sequences": 0}, {"held_out": -1}, {"steps": 10.0}):
        with pytest.raises(pydantic.ValidationError):
            component.checked(wrong)
