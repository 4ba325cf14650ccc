"""Sequential MNIST: a handwritten digit, one pixel a time step."""

from __future__ import annotations

import gzip
import hashlib
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field

from throughtime.datasets import fetch
from throughtime.datasets.arrays import ArrayDataset, Arrays, stratified_order
from throughtime.datasets.idx import read_idx, write_idx
from throughtime.datasets.task import Classification
from throughtime.registry import dataset


def _origin(name: str) -> fetch.Origin:
    from torchvision.datasets import MNIST  # here, because it takes seconds to import and is rarely needed

    return fetch.Origin([mirror + name for mirror in MNIST.mirrors], f"md5:{dict(MNIST.resources)[name]}")


# In the order of the SHA-256; the MD5 is of the unpacked content.
FILES = tuple(
    fetch.DataFile("smnist", "MNIST", name, md5, partial(_origin, name))
    for name, md5 in (
        ("train-images-idx3-ubyte.gz", "6bbc9ace898e44ae57da46a324031adb"),
        ("train-labels-idx1-ubyte.gz", "a25bea736e30d166cdddb491f175f624"),
        ("t10k-images-idx3-ubyte.gz", "2646ac647ad5339dbf082846283269ea"),
        ("t10k-labels-idx1-ubyte.gz", "27ae3e4e09519cfbb04c329615203637"),
    )
)


@dataset("smnist")
class SequentialMNIST(ArrayDataset):
    """MNIST, 60 000 + 10 000 digits of 28x28 pixels, as 784 steps of one pixel.

    x_t = p_t / 255, p_t the t-th pixel in row order, 0 ... 255; no other normalisation. The target is the digit,
    10 classes.

    Validation is 5000 of MNIST's 60 000 training digits, train the other 55 000, test MNIST's own 10 000. The order is
    `stratified_order` with seed 60000 (validation comes first) for the former and with seed 10000 for the test set,
    whose second half is known to be harder than its first: N of them are then a fair sample. The SHA-256 is of the
    unpacked files one after the other: train images, train labels, test images, test labels. Pixels are kept as
    8 bits, 55 MB, and converted a batch at a time.

    Args:
        train: use only the first N of the training digits; None: all 55 000.
        validation: likewise of the 5000.
        test: likewise of the 10 000.

    Raises:
        UsageError: at the first use, if a file is missing and cannot be downloaded, or is not MNIST's.

    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998); as a sequence, Le, Jaitly and Hinton,
    arXiv:1504.00941 (2015).
    """

    licence = "CC BY-SA 3.0"
    files = FILES
    unit = 255.0
    inputs = 1
    outputs = 10
    side: ClassVar[int] = 28
    held_out: ClassVar[int] = 5000

    def __init__(
        self,
        *,
        train: Annotated[int, Field(ge=1, le=55_000)] | None = None,
        validation: Annotated[int, Field(ge=1, le=5_000)] | None = None,
        test: Annotated[int, Field(ge=1, le=10_000)] | None = None,
    ) -> None:
        self.steps = self.side**2
        self.task = Classification(self.outputs)
        self.limit = {"train": train, "validation": validation, "test": test}

    @classmethod
    def tiny(cls) -> SequentialMNIST:
        """Not MNIST: made images of 7x7 pixels (see `MadeMNIST`), 49 steps, through the same reader."""
        return MadeMNIST()

    def prepare(self) -> None:
        for file in self.files:
            content_of(file, fetch.obtain(file))

    def load(self) -> Arrays:
        return read([fetch.obtain(file) for file in FILES], self.steps, self.held_out)


class MadeMNIST(SequentialMNIST):
    """Stand-in for tests and contract checks: 7x7 pixels, 50 + 14 images, with no meaning beyond the label.

    Label c is a stroke, one bright row or column, at a place that c gives, on dark noise. The images are written as
    four gzipped IDX files to a temporary folder and read back from there.
    """

    licence = "none needed: generated"
    files = ()
    side = 7
    held_out = 10

    def load(self) -> Arrays:
        random = np.random.RandomState(0)
        with TemporaryDirectory(prefix="throughtime-") as folder:
            paths = [Path(folder, file.name) for file in FILES]
            for n, images_path, labels_path in zip((50, 14), paths[::2], paths[1::2], strict=True):
                labels = (np.arange(n) % self.outputs).astype(np.uint8)
                images = random.randint(0, 64, (n, self.side, self.side)).astype(np.uint8)
                for image, label in zip(images, labels, strict=True):
                    (image if label < 5 else image.T)[1 + label % 5] |= 0xC0
                images_path.write_bytes(gzip.compress(write_idx(images)))
                labels_path.write_bytes(gzip.compress(write_idx(labels)))
            return read(paths, self.steps, self.held_out, known=False)


def content_of(file: fetch.DataFile, path: Path, known: bool = True) -> tuple[bytes, np.ndarray]:
    """The unpacked content of one of the files, and the array in it (which copies nothing).

    Raises:
        UsageError: it is truncated, damaged, not IDX or, if `known`, not MNIST's.
    """
    content = fetch.unpacked(path)
    array = read_idx(content, path)  # before the checksum: `truncated` says more than `wrong checksum`
    if known:
        fetch.verify(file, path, content)
    return content, array


def read(paths: list[Path], steps: int, held_out: int, known: bool = True) -> Arrays:
    """Read train images, train labels, test images and test labels, and split them.

    Args:
        paths: of the four files, gzipped or not.
        steps: pixels an image.
        held_out: how many training images make up the validation split.
        known: the contents must be MNIST's.

    Raises:
        UsageError: a file is truncated, damaged, not IDX or, if `known`, not MNIST's.
    """
    digest, parts = hashlib.sha256(), []
    for file, path in zip(FILES, paths, strict=True):
        content, part = content_of(file, path, known)
        parts.append(part)
        digest.update(content)
    train_images, train_labels, test_images, test_labels = parts
    first, rest = np.split(stratified_order(train_labels, seed=60_000), [held_out])
    test = stratified_order(test_labels, seed=10_000) + len(train_labels)
    return Arrays(
        x=torch.from_numpy(np.concatenate([train_images, test_images])).view(-1, steps, 1),
        target=torch.from_numpy(np.concatenate([train_labels, test_labels])).long(),
        splits={
            "train": torch.from_numpy(rest),
            "validation": torch.from_numpy(first),
            "test": torch.from_numpy(test),
        },
        sha256=digest.hexdigest(),
    )
