"""Generated images with boxes, for detection without files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import PositiveInt

from throughtime.datasets.detection import generated, voc_files
from throughtime.datasets.detection.augmentation import Change
from throughtime.datasets.detection.voc import BoxedImages, ImageSize, Smoothing
from throughtime.datasets.files import archive
from throughtime.registry import dataset


@dataset("rectangles")
class Rectangles(BoxedImages):
    """Images of grey noise, 96x72 pixels, with one to three rectangles in red, green or blue: detection without files.

    `BoxedImages` describes x_t and the target; the class of a rectangle is its colour. The 14 + 8 + 8 images are always
    the same. They are written in the layout of PASCAL VOC and read from there; their SHA-256 depends on the JPEG
    encoder of Pillow.

    Args:
        size, steps, changes, smoothing: as in `BoxedImages`.
    """

    names = ("red", "green", "blue")
    origin = "generated"

    def __init__(
        self,
        *,
        size: ImageSize = 64,
        steps: PositiveInt = 2,
        changes: Sequence[Change] = (),
        smoothing: Smoothing = 0.0,
    ) -> None:
        super().__init__(size, steps, changes, smoothing, {})
        self.with_synthetic_files(_written)

    @classmethod
    def tiny(cls) -> Rectangles:
        """Return the dataset with its defaults."""
        return cls()

    def digest(self, paths: Sequence[Path]) -> str:
        return archive.digest(paths[0], voc_files.MEMBERS)


def _written(folder: Path) -> list[Path]:
    generated.write_voc(folder / "rectangles", Rectangles.names)
    return [folder / "rectangles"]
