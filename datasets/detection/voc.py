"""Images with boxes: folders in the layout of PASCAL VOC, and the blood cells of BCCD."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from throughtime.datasets.arrays import Arrays
from throughtime.datasets.base import Split, computed
from throughtime.datasets.batch import Batch
from throughtime.datasets.detection import boxes, generated, voc_files
from throughtime.datasets.detection.augmentation import Change, Picture, augmented
from throughtime.datasets.detection.task import Detection
from throughtime.datasets.files import archive, cache, fetch
from throughtime.datasets.files.remember import remembered
from throughtime.datasets.prepared import PreparedDataset, combined, save
from throughtime.datasets.task import Task
from throughtime.errors import UsageError
from throughtime.registry import dataset

NOTES = "boxes.json"
"""File of the prepared arrays with the names of the classes and the numbers of boxes."""
ImageSize = Annotated[int, Field(ge=32, multiple_of=32)]
Smoothing = Annotated[float, Field(ge=0, lt=1)]


class BoxedImages(PreparedDataset):
    """Base of the datasets of images with boxes: an image is shown unchanged for T steps.

    x_t = (p_1 ... p_3S²) / 255 at every t: the image, stretched to S x S pixels, its red, green and blue planes in row
    order. The target is [boxes, 6], as in `detection/boxes.py`; boxes without width or height are dropped and counted.
    The splits are the official lists train, val and test.

    Args:
        size: S, a multiple of 32, the cell of the coarse grid in pixels.
        steps: T, the number of presentations of an image.
        changes: random changes of the training images, drawn in each epoch: see `augmented`.
        smoothing: of the targets of the classes, see `detection_loss`.
        limit: by split, the number of images to use, from its start; a split without an entry is used whole.
    """

    readers = (archive.__name__, boxes.__name__, generated.__name__, voc_files.__name__)
    libraries = ("pillow",)
    unit = 255.0
    evaluation_batch = 16
    names: tuple[str, ...] | None = None
    """The names of the classes; None: those of the files, sorted."""

    def __init__(
        self,
        size: int,
        steps: int,
        changes: Sequence[Change],
        smoothing: float,
        limit: Mapping[Split, int],
    ) -> None:
        self.side, self.steps, self.inputs = size, steps, 3 * size**2
        self.layout, self.changes, self.smoothing, self.limit = (3, size, size), tuple(changes), smoothing, limit

    def parameters(self) -> Mapping[str, Any]:
        return {"size": self.side}

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        images = [image for path in paths for image in voc_files.listed(path)]
        for split, member in voc_files.LISTS.items():
            if not any(image.split == split for image in images):
                raise UsageError(
                    f"no image in the {split} split: ImageSets/{member} is missing or empty",
                    ", ".join(map(str, paths)),
                    "of PASCAL VOC, the year 2007 alone has a test list",
                )
        classes = self.names or tuple(sorted({box.name for image in images for box in image.boxes}))
        rows = [np.zeros((0, boxes.COLUMNS), np.float32) for _ in images]

        def stored() -> Iterator[tuple[int, np.ndarray]]:
            for position, x, size in voc_files.pixels(images, self.side):
                image = images[position]
                rows[position] = voc_files.rows_of(image.boxes, classes, size, f"{image.path}: {image.name}")
                yield position, x

        cache.write_rows(folder / "x.npy", len(images), stored())
        total, kept_boxes = sum(len(image.boxes) for image in images), sum(map(len, rows))
        if not kept_boxes:
            raise UsageError("no box in any image", where=", ".join(map(str, paths)))
        indices = {s: np.array([i for i, image in enumerate(images) if image.split == s]) for s in voc_files.LISTS}
        save(folder, boxes.padded(rows, max(map(len, rows))), indices)
        (folder / NOTES).write_text(json.dumps({"classes": classes, "boxes": total, "dropped": total - kept_boxes}))

    def ready(self, folder: Path, digest: str, in_memory: bool = False) -> Arrays:
        self._notes = json.loads((folder / NOTES).read_text())
        return super().ready(folder, digest, in_memory)

    def notes(self) -> dict[str, Any]:
        """Return the names of the classes, the number of boxes, and the number of those that were dropped."""
        _ = self.arrays
        return self._notes

    def remark(self) -> str | None:
        dropped, total = self.notes()["dropped"], self.notes()["boxes"]
        return f"{dropped} of {total} boxes have no width or height and were dropped" if dropped else None

    @computed
    def task(self) -> Task:
        return Detection(self.names or self.notes()["classes"], self.smoothing)

    @computed
    def outputs(self) -> int:
        """Channels of each of the two readouts."""
        return Detection(self.names or self.notes()["classes"]).outputs

    def expanded(self, rows: Tensor) -> Tensor:
        return rows.unsqueeze(1).expand(-1, self.steps, -1)

    def batches(self, split: Split, batch: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        if split != "train" or generator is None or not self.changes:
            yield from super().batches(split, batch, generator)
            return
        order = self.arrays.splits["train"]
        order = order[torch.randperm(len(order), generator=generator)]
        seed = int(torch.randint(2**31, (1,), generator=generator))
        for start in range(0, len(order), batch):
            yield self._changed(order, range(start, min(start + batch, len(order))), seed)

    def _changed(self, order: Tensor, places: range, seed: int) -> Batch:
        """Return the images at some places of the order, augmented. Random numbers depend on seed and place alone, and
        not on the size of batches."""
        pictures = []
        for place in places:
            random = np.random.RandomState([seed, place])

            def another(random: np.random.RandomState = random) -> Picture:
                return self._picture(int(order[random.randint(len(order))]))

            pictures.append(augmented(self._picture(int(order[place])), another, self.changes, random))
        x = np.stack([np.asarray(picture.image).transpose(2, 0, 1).reshape(-1) for picture in pictures])
        target = boxes.padded([p.boxes for p in pictures], max(1, *(len(p.boxes) for p in pictures)))
        return Batch(torch.from_numpy(x).float().div_(self.unit).expand(self.steps, -1, -1), torch.from_numpy(target))

    def _picture(self, position: int) -> Picture:
        from PIL import Image

        pixels = self.arrays.x[position].numpy().reshape(3, self.side, self.side)
        target = self.arrays.target[position]
        return Picture(Image.fromarray(pixels.transpose(1, 2, 0)), target[boxes.is_box(target)].numpy())


@dataset("voc")
class VOC(BoxedImages):
    """Images with boxes from a folder in the layout of PASCAL VOC.

    `BoxedImages` describes x_t, the target and the splits; the classes are those of the folder, sorted. In VOC 2007 and
    2012 they are 20, and there are 2501 + 5717 images for training, 2510 + 5823 for validation, and 4952 for test, all
    of 2007. The SHA-256 is that of the lists, annotations and images.

    Args:
        root: a folder with Annotations, ImageSets and JPEGImages; with `years`, a folder with VOC2007, VOC2012 ..., or
            with a folder VOCdevkit that has them.
        years: years whose images are used together; null: `root` itself is the folder.
        size, steps, changes, smoothing, limit: as in `BoxedImages`.

    Raises:
        UsageError: at the first use: a list, an annotation or an image is missing or broken.

    Source: Everingham, Van Gool, Williams, Winn and Zisserman, IJCV 88 (2010).
    """

    licence = "the user's"
    origin = "files of the user's"

    def __init__(
        self,
        *,
        root: str,
        years: Annotated[Sequence[str], Field(min_length=1)] | None = None,
        size: ImageSize = 416,
        steps: PositiveInt = 8,
        changes: Sequence[Change] = (),
        smoothing: Smoothing = 0.0,
        limit: Mapping[Split, PositiveInt] | None = None,
    ) -> None:
        super().__init__(size, steps, changes, smoothing, limit or {})
        self.root, self.years = Path(root).expanduser(), years

    @classmethod
    def tiny(cls) -> VOC:
        """Return 14 + 8 + 8 generated images of 64x64 pixels with boxes of two classes, shown for 2 steps."""
        return cls(root="generated", size=64, steps=2).with_synthetic_files(generated.voc_folder)

    def raw(self) -> tuple[Sequence[Path], str]:
        place = self.root / "VOCdevkit" if (self.root / "VOCdevkit").is_dir() else self.root
        folders = [self.root] if self.years is None else [place / f"VOC{year}" for year in self.years]
        for folder in folders:
            if not folder.is_dir():
                raise UsageError("no such folder", where=str(folder))
            if folders.count(folder) > 1:
                raise UsageError("a year that `years` names twice", where=str(folder))
        return folders, "voc"

    def digest(self, paths: Sequence[Path]) -> str:
        notes, members = fetch.cache() / "digests", voc_files.MEMBERS

        def sha256(path: Path) -> str:
            return remembered([path], members, lambda: archive.digest(path, members), notes)

        return combined({str(i): sha256(path) for i, path in enumerate(paths)})


@dataset("bccd")
class BCCD(BoxedImages):
    """BCCD: 364 microscope images of blood, 640x480 pixels, with boxes of platelets, red and white blood cells.

    `BoxedImages` describes x_t and the target. The splits are the official ones, 205 / 87 / 72 images. Of the 4888
    boxes, 85 % are red cells, and two are points.

    Args:
        size, steps, changes, smoothing, limit: as in `BoxedImages`.

    Raises:
        UsageError: at the first use, if the file is missing or damaged.

    Source: Shenggan et al., BCCD Dataset (2017), https://github.com/Shenggan/BCCD_Dataset.
    """

    licence = "MIT"
    repeated = 0.0
    names = generated.BLOOD_CELLS
    files = (
        fetch.DataFile(
            "bccd",
            "detection",
            "bccd.zip",
            "0c4cccda958344534040c215e811c79026ca32e4b4718d2c58b5f41a41476623",
            lambda: fetch.Origin(["https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.zip"], None),
            inside=voc_files.MEMBERS,
            also=("bccd", "BCCD", "BCCD_Dataset", "BCCD_Dataset-master", "BCCD_Dataset-master.zip"),
            page="https://github.com/Shenggan/BCCD_Dataset",
        ),
    )

    def __init__(
        self,
        *,
        size: ImageSize = 416,
        steps: PositiveInt = 8,
        changes: Sequence[Change] = (),
        smoothing: Smoothing = 0.0,
        limit: Mapping[Split, PositiveInt] | None = None,
    ) -> None:
        super().__init__(size, steps, changes, smoothing, limit or {})

    @classmethod
    def tiny(cls) -> BCCD:
        """Return 14 + 8 + 8 generated images of 64x64 pixels with boxes of the three classes, shown for 2 steps."""
        return cls(size=64, steps=2).with_synthetic_files(generated.zipped_blood_cells)
