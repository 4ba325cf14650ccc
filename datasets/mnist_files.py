"""MNIST and Fashion-MNIST, 60 000 + 10 000 images of 28x28 pixels: files, reader and splits.

`mnist_family.py` turns the images into sequences.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from throughtime.datasets import idx
from throughtime.datasets.arrays import stratified_order
from throughtime.datasets.classes import checked_labels
from throughtime.datasets.files import archive, fetch
from throughtime.datasets.prepared import PreparedDataset, save
from throughtime.datasets.task import Classification
from throughtime.errors import UsageError

NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
FASHION_SHA256 = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)

Train = Annotated[int, Field(ge=1, le=55_000)] | None
Validation = Annotated[int, Field(ge=1, le=5_000)] | None
Test = Annotated[int, Field(ge=1, le=10_000)] | None


def mnist_files(dataset: str) -> tuple[fetch.DataFile, ...]:
    """Return the four files of MNIST for the named dataset."""
    page = "https://yann.lecun.com/exdb/mnist"
    return _files(dataset, "MNIST", MNIST_SHA256, page)


def fashion_files(dataset: str) -> tuple[fetch.DataFile, ...]:
    """Return the four files of Fashion-MNIST for the named dataset."""
    return _files(dataset, "FashionMNIST", FASHION_SHA256, "https://github.com/zalandoresearch/fashion-mnist")


def _files(dataset: str, folder: str, digests: Sequence[str], page: str) -> tuple[fetch.DataFile, ...]:
    return tuple(
        fetch.DataFile(dataset, folder, name, digest, partial(_origin, folder, name), page=page)
        for name, digest in zip(NAMES, digests, strict=True)
    )


def _origin(kind: str, name: str) -> fetch.Origin:
    import torchvision.datasets  # here, because it takes seconds to import and is rarely needed

    source = getattr(torchvision.datasets, kind)
    return fetch.Origin([mirror + name for mirror in source.mirrors], f"md5:{dict(source.resources)[name]}")


class Images(PreparedDataset):
    """Base of the datasets of these images.

    The 60 000 training images are split into 5000 for validation and 55 000 for training, in `stratified_order` with
    seed 60000 (validation comes first); the test split is the 10 000 test images in `stratified_order` with seed 10000.
    In MNIST the second half of the test images is harder than the first; in this order the first N are a fair sample.
    Pixels are stored in 8 bits, 55 MB, which all datasets and processes share.

    Args:
        train: number of training images to use; None: all 55 000.
        validation: number of validation images to use; None: all 5000.
        test: number of test images to use; None: all 10 000.

    Raises:
        UsageError: at the first use, if a file is missing and cannot be downloaded, or has the wrong content.
    """

    readers = (idx.__name__, archive.__name__)
    unit = 255.0
    outputs = 10
    repeated = 0.0
    side = 28
    validation_images = 5000

    def __init__(
        self,
        *,
        train: Train = None,
        validation: Validation = None,
        test: Test = None,
    ) -> None:
        self.task = Classification(self.outputs)
        self.limit = {"train": train, "validation": validation, "test": test}

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        train_images, train_labels, test_images, test_labels = (_array(path) for path in paths)
        for images, labels, path in ((train_images, train_labels, paths[1]), (test_images, test_labels, paths[3])):
            checked_labels(labels, self.outputs, str(path))
            if images.shape != (len(labels), self.side, self.side):
                what = f"{len(labels)} labels for images of shape {list(images.shape)}"
                raise UsageError(what, where=str(path))
        first, rest = np.split(stratified_order(train_labels, seed=60_000), [self.validation_images])
        test = stratified_order(test_labels, seed=10_000) + len(train_labels)
        save(
            folder,
            np.concatenate([train_labels, test_labels]),
            {"train": rest, "validation": first, "test": test},
            np.concatenate([train_images, test_images]).reshape(-1, self.side**2),
        )


def synthetic_images(folder: Path, side: int = 7) -> list[Path]:
    """Write the four files with 50 + 14 synthetic images; return their paths.

    An image of class c is one bright row or column, whose position depends on c, on dark noise.
    """
    random = np.random.RandomState(0)
    contents = []
    for n in (50, 14):
        labels = (np.arange(n) % 10).astype(np.uint8)
        images = random.randint(0, 64, (n, side, side)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            (image if label < 5 else image.T)[1 + label % 5] |= 0xC0
        contents += [images, labels]
    paths = [folder / name for name in NAMES]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(gzip.compress(idx.write_idx(content)))
    return paths


def _array(path: Path) -> np.ndarray:
    with archive.single(path) as stream:
        return idx.read_idx(stream.read(), path)
