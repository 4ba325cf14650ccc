"""IDX files, and the datasets built from MNIST and Fashion-MNIST."""

import gzip
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch

from tests.real_data import real, real_source  # noqa: F401
from throughtime.datasets.files import archive, fetch
from throughtime.datasets.idx import read_idx, write_idx
from throughtime.datasets.mnist_family import SequentialMNIST
from throughtime.datasets.mnist_files import NAMES, fashion_files, mnist_files, synthetic_images
from throughtime.errors import UsageError
from throughtime.registry import DATASETS, NETWORKS, NEURONS

SPLITS = ("train", "validation", "test")
FAMILY = (
    "smnist",
    "psmnist",
    "rmnist",
    "mnist",
    "sfashion_mnist",
    "psfashion_mnist",
    "rfashion_mnist",
    "fashion_mnist",
)


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
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 2, 3]), "11 bytes, but its header declares 10"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), "not an IDX file of unsigned bytes"),
        (b"<!DOCTYPE html>", "not an IDX file of unsigned bytes"),
        (bytes([0, 0, 8, 0, 7]), "0 dimensions; an IDX file of images has 3"),
        (bytes([0, 0, 8, 65]) + bytes(260), "65 dimensions; an IDX file of images has 3"),
    ],
)
def test_idx_that_is_not_right(content, problem):
    with pytest.raises(UsageError, match=f"^images: {problem}"):
        read_idx(content, Path("images"))


# --- made files


def tiny(name):
    return DATASETS[name].factory.tiny()


def images(dataset, split):
    """Pixels of a split in row order, [sequences, pixels], from the first step where all are shown at once."""
    x = torch.cat([batch.x for batch in dataset.batches(split, 5)], dim=1)
    return x[0] if dataset.layout else x.transpose(0, 1).flatten(1)


def test_made_images_need_no_network(monkeypatch):
    monkeypatch.setattr(fetch, "downloader", lambda: pytest.fail("a download"))
    dataset = tiny("smnist")
    assert [dataset.size(split) for split in SPLITS] == [40, 10, 14]
    # The stroke of a label lies where the label says: 3 is the row 1 + 3 of 7, 8 the column 1 + 8 % 5.
    for x, target, _ in dataset.batches("train", 1):
        bright = (x.view(7, 7) >= 0xC0 / 255).tolist()
        label = target.item()
        lines = bright if label < 5 else zip(*bright, strict=True)
        assert [all(line) for line in lines].index(True) == 1 + label % 5
        assert sum(map(sum, bright)) == 7


@pytest.mark.parametrize("split", SPLITS)
def test_all_forms_show_the_same_pixels(split):
    pixels = images(tiny("smnist"), split)
    for name in FAMILY:
        dataset = tiny(name)
        order = dataset.order if name.startswith("ps") else torch.arange(49)
        assert torch.equal(images(dataset, split), pixels[:, order]), name


def test_static_image_stays_and_rows_come_from_the_top():
    still, rows = (next(tiny(name).batches("test", 2)).x for name in ("mnist", "rmnist"))
    assert still.shape == (4, 2, 49) and (still == still[0]).all()
    assert rows.shape == (7, 2, 7)
    assert torch.equal(rows.transpose(0, 1).flatten(1), still[0])


@pytest.mark.parametrize("split", SPLITS)
def test_pooled_pixels_are_means_over_squares(split):
    """The tiny images have 14x14 pixels: a pool of 7 gives four quarters."""
    dataset, quarters = tiny("smnist_pooled"), tiny("smnist_pooled")
    quarters.pool = 7
    x = torch.cat([batch.x for batch in dataset.batches(split, 5)], 1).squeeze(2).T
    assert x.shape == (dataset.size(split), 49) == (len(x), dataset.steps)
    image = dataset.arrays.x[dataset.arrays.splits[split][0].long()].view(14, 14).double()
    by_hand = [image[r : r + 2, c : c + 2].mean() / 255 for r in range(0, 14, 2) for c in range(0, 14, 2)]
    assert torch.allclose(x[0].double(), torch.stack(by_hand), atol=1e-6)
    assert next(quarters.batches(split, 1)).x.flatten().tolist() == pytest.approx(
        [image[r : r + 7, c : c + 7].mean().item() / 255 for r in (0, 7) for c in (0, 7)]
    )


def test_pooled_pixels_in_another_order_are_the_same_pixels():
    rows, permuted = tiny("smnist_pooled"), tiny("smnist_pooled")
    permuted.permutation = 3
    order = np.random.RandomState(3).permutation(49)
    assert torch.equal(next(permuted.batches("test", 9)).x, next(rows.batches("test", 9)).x[order])
    assert DATASETS["smnist_pooled"].factory(pool=4).steps == 49


def test_permutation_is_fixed_by_its_seed():
    first, same, other = (DATASETS["psmnist"].factory(permutation=seed) for seed in (0, 0, 1))
    assert torch.equal(first.order, same.order) and not torch.equal(first.order, other.order)
    assert sorted(first.order.tolist()) == list(range(784))
    # The permutation of a seed in a record must never change.
    assert first.order[:5].tolist() == [693, 85, 647, 392, 765]


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A source with the four made files, and a cache; MNIST's checksums are those of these files."""
    (tmp_path / "MNIST").mkdir()
    paths = synthetic_images(tmp_path / "MNIST")
    monkeypatch.setenv(fetch.DATA, str(tmp_path))
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(SequentialMNIST, "side", 7)
    monkeypatch.setattr(SequentialMNIST, "validation_images", 10)
    files = [fetch.DataFile("smnist", "MNIST", name, None, None) for name in NAMES]
    monkeypatch.setattr(SequentialMNIST, "files", tuple(files))
    return paths


def test_from_files_through_the_cache_as_in_memory(source, tmp_path):
    for split in SPLITS:
        assert torch.equal(images(SequentialMNIST(), split), images(tiny("smnist"), split))
    assert SequentialMNIST().sha256() == tiny("smnist").sha256()
    (place,) = (path for path in (tmp_path / "cache" / "prepared").iterdir() if path.is_dir())
    assert np.load(place / "x.npy", mmap_mode="r").dtype == np.uint8


def rewrite(path, change):
    path.write_bytes(gzip.compress(write_idx(change(read_idx(gzip.decompress(path.read_bytes()), path).copy()))))


def with_label_ten(labels):
    labels[3] = 10
    return labels


@pytest.mark.parametrize(
    "which, change, problem",
    [
        (1, with_label_ten, "label 10 is not among 0 ... 9"),
        (1, lambda labels: labels[:-1], r"49 labels for images of shape \[50, 7, 7\]"),
        (2, lambda images: images[:, :6], r"14 labels for images of shape \[14, 6, 7\]"),
        (3, lambda labels: labels[:0], "the file has no sample"),
    ],
)
def test_files_that_do_not_fit(source, tmp_path, which, change, problem):
    rewrite(source[which], change)
    with pytest.raises(UsageError, match=problem):
        SequentialMNIST().size("train")
    assert not [path for path in (tmp_path / "cache" / "prepared").glob("*") if path.is_dir()]


@pytest.mark.parametrize("files", [mnist_files("smnist"), fashion_files("fashion_mnist")])
def test_origins_are_known(files):
    for file in files:
        urls, checksum = file.origin()
        assert urls and all(url.endswith(file.name) for url in urls)
        assert checksum.startswith("md5:") and len(checksum) == 36
        assert len(file.sha256) == 64


def test_options():
    component = DATASETS["smnist"]
    assert component.checked({"train": 1000}) == {"train": 1000, "validation": None, "test": None}
    for wrong in ({"train": 0}, {"train": 55_001}, {"validation": 5_001}, {"test": 10_001}):
        with pytest.raises(pydantic.ValidationError):
            component.checked(wrong)
    for name, wrong in (("psmnist", {"permutation": -1}), ("mnist", {"steps": 0}), ("rmnist", {"steps": 28})):
        with pytest.raises(pydantic.ValidationError):
            DATASETS[name].checked(wrong)


# --- the real files, where they are


@pytest.fixture(scope="module")
def mnist(real_source):  # noqa: F811
    real("MNIST/raw")
    return SequentialMNIST()


def test_mnist_split(mnist):
    index, labels = mnist.arrays.splits, mnist.arrays.target.long()
    assert [mnist.size(split) for split in SPLITS] == [55_000, 5_000, 10_000]
    assert sorted(torch.cat([index["train"], index["validation"]]).tolist()) == list(range(60_000))
    assert sorted(index["test"].tolist()) == list(range(60_000, 70_000))
    share = labels[:60_000].bincount() / 60_000
    assert (labels[index["validation"]].bincount() - 5000 * share).abs().max() <= 2
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert labels[60_000:60_005].tolist() == [7, 2, 1, 0, 4]


def test_mnist_pixels_against_another_reader(mnist):
    position = mnist.arrays.splits["train"][0].item()
    with archive.single(fetch.find(mnist.files[0])) as stream:
        # An IDX file of images has 16 bytes before the first, and 784 bytes an image.
        image = stream.read()[16 + 784 * position : 16 + 784 * (position + 1)]
    x = next(iter(mnist.batches("train", 1))).x
    assert x.shape == (784, 1, 1)
    assert x.flatten().tolist() == (torch.tensor(list(image)) / 255).tolist()


def test_mnist_is_kept_as_bytes(mnist):
    assert mnist.arrays.x.dtype == torch.uint8
    assert mnist.arrays.x.untyped_storage().nbytes() == 70_000 * 784


def test_mnist_limits_take_the_start_of_a_split(mnist):
    few = SequentialMNIST(train=100, validation=50, test=20)
    assert [few.size(split) for split in SPLITS] == [100, 50, 20]
    assert torch.equal(few.arrays.splits["test"], mnist.arrays.splits["test"][:20])
    assert (few.arrays.target[few.arrays.splits["train"]].long().bincount(minlength=10) - 10).abs().max() <= 3


def test_fashion_mnist(real_source):  # noqa: F811
    real("FashionMNIST/raw")
    dataset = DATASETS["fashion_mnist"].factory(steps=2)
    assert [dataset.size(split) for split in SPLITS] == [55_000, 5_000, 10_000]
    assert dataset.arrays.target.long().bincount().tolist() == [7000] * 10
    assert dataset.arrays.target[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]


# --- an image that stays is one step in memory


def shown(steps: int):
    """A batch of 5 made images of 7x7 pixels, shown for some steps."""
    return next(
        DATASETS["mnist"]
        .factory(steps=steps)
        .with_synthetic_files(synthetic_images, side=7, validation_images=10)
        .batches("train", 5)
    )


@pytest.mark.parametrize("steps", [1, 4, 50])
def test_bytes_of_a_batch_do_not_grow_with_the_steps_that_its_images_are_shown(steps):
    batch = shown(steps)
    assert batch.x.shape == (steps, 5, 49) and batch.nbytes == 5 * 49 * 4 + 5 * 8
    for same in (batch.to("cpu"), batch.window(0, 3), batch.with_inputs_copied(), batch.first(5)):
        assert same.nbytes == batch.nbytes and torch.equal(same.x, batch.x[: same.steps])
    assert batch.to("cpu").x.data_ptr() == batch.x.data_ptr() != batch.with_inputs_copied().x.data_ptr()
    assert batch.to("meta").x.untyped_storage().nbytes() == 5 * 49 * 4


def test_a_network_computes_the_same_of_a_shown_image_and_of_its_copies():
    torch.manual_seed(0)  # with some weights no neuron spikes
    batch = shown(6)
    network = NETWORKS["recurrent"].factory(49, 10, NEURONS["lif"].factory, hidden=[8])
    outputs = network.unroll(batch.x, network.initial_state(5)).outputs
    copies = network.unroll(batch.x.contiguous(), network.initial_state(5)).outputs
    assert torch.equal(outputs, copies) and outputs.std() > 0
