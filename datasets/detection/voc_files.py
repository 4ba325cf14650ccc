"""Reader of images with boxes in the layout of PASCAL VOC.

    ImageSets/Main/{train,val,test}.txt    names of images, one a line
    Annotations/NAME.xml                   the boxes of an image
    JPEGImages/NAME.jpg                    the image

The folder may be packed in an archive. Corners are read as distances from the left upper corner of the image in pixels,
as in the code that was released with SPYv4; the devkit counts pixels from 1, and includes the last.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from throughtime.datasets.base import Split
from throughtime.datasets.files import archive
from throughtime.errors import UsageError, first_line

LISTS: dict[Split, str] = {"train": "Main/train.txt", "validation": "Main/val.txt", "test": "Main/test.txt"}
TEXTS = f"{'|'.join(LISTS.values())}|Annotations/*.xml"
IMAGES = "JPEGImages/*"
FORMATS = ("JPEG", "PNG")
"""Formats of images. Pillow reads several dozen others, whose decoders are rarely used and tested."""
MEMBERS = f"{TEXTS}|{IMAGES}"


class Box(NamedTuple):
    """A box of an image, in pixels."""

    name: str
    left: float
    top: float
    right: float
    bottom: float
    difficult: bool


class Listed(NamedTuple):
    """An image that a list names, and its boxes."""

    path: Path
    """Folder or archive."""
    name: str
    split: Split
    boxes: list[Box]


def listed(path: Path) -> list[Listed]:
    """Return the images of a folder or an archive, in the order of its lists train, val and test.

    Raises:
        UsageError: a list or an annotation is missing or broken, or an image is in two lists.
    """
    texts = dict(archive.read(path, TEXTS))
    images: dict[str, Listed] = {}
    for split, member in LISTS.items():
        for line in texts.get(member, b"").decode(errors="replace").splitlines():
            name = line.split()[0] if line.strip() else ""
            xml = f"Annotations/{name}.xml"
            if name in images:
                raise UsageError(f"{name} is twice in the lists of splits", where=f"{path}: {member}")
            if name and xml not in texts:
                raise UsageError(f"no {xml}, an image that {PurePosixPath(member).name} names", where=str(path))
            if name:
                images[name] = Listed(path, name, split, boxes_of(texts[xml], f"{path}: {xml}"))
    return list(images.values())


def boxes_of(xml: bytes, where: str) -> list[Box]:
    """Return the boxes of an annotation; `where` names it in errors.

    Raises:
        UsageError: it is not XML, or an object has no name or no box of four numbers.
    """
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: an encoding that it declares
        raise UsageError(f"broken XML: {error}", where=where) from error
    boxes = []
    for number, thing in enumerate(root.iter("object"), 1):
        name = thing.findtext("name", "").strip()
        try:
            left, top, right, bottom = (
                float(thing.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError as error:
            raise UsageError(f"object {number} has no box of four numbers", where=where) from error
        if not name:
            raise UsageError(f"object {number} has no name", where=where)
        boxes.append(Box(name, left, top, right, bottom, thing.findtext("difficult", "0").strip() == "1"))
    return boxes


def pixels(images: Sequence[Listed], size: int) -> Iterator[tuple[int, np.ndarray, tuple[int, int]]]:
    """Yield position, pixels [3 · size · size] uint8 (red, green and blue planes) and original (width, height) of each
    image, in the order of storage; the image is stretched to a square.

    Raises:
        UsageError: an image is missing or cannot be read.
    """
    for path in dict.fromkeys(image.path for image in images):
        waiting = {image.name: position for position, image in enumerate(images) if image.path == path}
        for member, content in archive.read(path, IMAGES):
            position = waiting.pop(PurePosixPath(member).stem, None)
            if position is not None:
                yield (position, *_decoded(content, size, f"{path}: {member}"))
        if waiting:
            name = next(iter(waiting))
            naming = LISTS[images[waiting[name]].split]
            raise UsageError(f"no image JPEGImages/{name}.jpg, which {naming} names", where=str(path))


def _decoded(content: bytes, size: int, where: str) -> tuple[np.ndarray, tuple[int, int]]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                original = image.size
                square = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UsageError(f"an image of more than {Image.MAX_IMAGE_PIXELS} pixels", where=where) from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises these for a broken file
        raise UsageError(f"not a JPEG or PNG image, or truncated: {first_line(error)}", where=where) from error
    return np.asarray(square).transpose(2, 0, 1).reshape(-1), original


def rows_of(boxes: Sequence[Box], classes: Sequence[str], size: tuple[int, int], where: str) -> np.ndarray:
    """Return the boxes as rows of a target [k, 6], clipped to the image, without degenerate ones: those without width
    or height.

    Args:
        boxes: the boxes of an image.
        classes: names of the classes.
        size: width and height of the image.
        where: the image, for errors.

    Raises:
        UsageError: a box has another class.
    """
    rows = []
    for box in boxes:
        if box.name not in classes:
            raise UsageError(f'a box of class "{box.name}"; the classes are {", ".join(classes)}', where=where)
        (left, right), (top, bottom) = (
            np.clip(edges, 0, length) / length
            for edges, length in zip(((box.left, box.right), (box.top, box.bottom)), size, strict=True)
        )
        if right > left and bottom > top:
            place = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
            rows.append((classes.index(box.name), *place, box.difficult))
    return np.array(rows, np.float32).reshape(-1, 6)
