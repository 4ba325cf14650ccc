"""Augmentation of images with boxes, in the manner of the code that was released with SPYv4.

All images are squares of the same size, and an augmented image has that size too. Boxes that a change moves out of the
image are clipped; those of which a pixel or less is left are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from throughtime.datasets.detection.boxes import PLACE

if TYPE_CHECKING:
    from PIL.Image import Image

Change = Literal["flip", "jitter", "colour", "mosaic"]

FLIPPED, MOSAIC = 0.5, 0.5
"""Shares of the images that are mirrored, and that are put together from four."""
JITTER, SCALES, MOSAIC_SCALES = 0.3, (0.25, 2.0), (0.4, 1.0)
"""Largest change of width and height in the aspect ratio, and ranges of the size."""
HUE, SATURATION, VALUE = 0.1, 1.5, 1.5
"""Largest shift of the hue, in turns, and largest factors, or divisors, of saturation and value."""
CUTS = (0.3, 0.7)
"""Range of the point where the four images of a mosaic meet."""
GREY = (128, 128, 128)


class Picture(NamedTuple):
    """An image and its boxes."""

    image: Image
    boxes: np.ndarray
    """[k, 6], as in `boxes`."""


def augmented(
    picture: Picture, another: Callable[[], Picture], changes: Collection[Change], random: np.random.RandomState
) -> Picture:
    """Return a changed picture.

    Args:
        picture: the picture.
        another: draws another picture of the training split, for a mosaic.
        changes: `flip`: mirror half of the pictures. `jitter`: aspect ratio times U(0.7, 1.3) / U(0.7, 1.3), size times
            U(0.25, 2), at a random place on grey. `colour`: hue, saturation and value. `mosaic`: half of the pictures
            are put together from four, of size U(0.4, 1), that meet in a random point.
        random: source of all random numbers.
    """
    if "mosaic" in changes and random.random_sample() < MOSAIC:
        four = [picture, another(), another(), another()]
        picture = _mosaic([four[i] for i in random.permutation(4)], changes, random)
    else:
        picture = _mirrored(picture, changes, random)
        if "jitter" in changes:
            width, height = _stretch(random, SCALES, jitter=True)
            picture = placed(picture, (width, height), (random.uniform(0, 1 - width), random.uniform(0, 1 - height)))
    return picture._replace(image=_recoloured(picture.image, random)) if "colour" in changes else picture


def placed(picture: Picture, size: tuple[float, float], corner: tuple[float, float]) -> Picture:
    """Return a picture whose image is resized and placed on grey.

    Args:
        picture: the picture.
        size: width and height of the resized image.
        corner: its left upper corner; all four as fractions of the picture.
    """
    from PIL import Image

    side = picture.image.width
    pixels = [max(1, round(length * side)) for length in size]
    left, top = (round(length * side) for length in corner)
    canvas = Image.new("RGB", (side, side), GREY)
    canvas.paste(picture.image.resize((pixels[0], pixels[1]), Image.Resampling.BICUBIC), (left, top))
    boxes = picture.boxes.copy()
    boxes[:, PLACE] *= np.array([*pixels, *pixels]) / side
    boxes[:, 1:3] += np.array([left, top]) / side
    return Picture(canvas, clipped(boxes, 1 / side))


def mirrored(picture: Picture) -> Picture:
    """Return a picture with left and right exchanged."""
    from PIL import ImageOps

    boxes = picture.boxes.copy()
    boxes[:, 1] = 1 - boxes[:, 1]
    return Picture(ImageOps.mirror(picture.image), boxes)


def clipped(boxes: np.ndarray, least: float) -> np.ndarray:
    """Return the parts of boxes inside the image that are wider and higher than `least`."""
    half = boxes[:, 3:5] / 2
    low, high = np.clip(boxes[:, 1:3] - half, 0, 1), np.clip(boxes[:, 1:3] + half, 0, 1)
    inside = boxes.copy()
    inside[:, PLACE] = np.concatenate([(low + high) / 2, high - low], axis=1)
    return inside[(high - low > least).all(1)]


def _mirrored(picture: Picture, changes: Collection[Change], random: np.random.RandomState) -> Picture:
    return mirrored(picture) if "flip" in changes and random.random_sample() < FLIPPED else picture


def _stretch(random: np.random.RandomState, scales: tuple[float, float], jitter: bool) -> tuple[float, float]:
    """Draw width and height, relative to the present ones; the longer side has the size that is drawn."""
    aspect = np.divide(*random.uniform(1 - JITTER, 1 + JITTER, 2)) if jitter else 1.0
    scale = random.uniform(*scales)
    return (scale * aspect, scale) if aspect < 1 else (scale, scale / aspect)


def _mosaic(four: list[Picture], changes: Collection[Change], random: np.random.RandomState) -> Picture:
    """Put four pictures around a point: upper left, lower left, lower right, upper right."""
    from PIL import Image

    side = four[0].image.width
    x, y = (round(cut * side) for cut in random.uniform(*CUTS, 2))
    canvas, boxes = Image.new("RGB", (side, side), GREY), []
    regions = ((0, 0, x, y), (0, y, x, side), (x, y, side, side), (x, 0, side, y))
    for picture, region in zip(four, regions, strict=True):
        width, height = _stretch(random, MOSAIC_SCALES, "jitter" in changes)
        left = x / side - (width if region[0] == 0 else 0)
        top = y / side - (height if region[1] == 0 else 0)
        part = placed(_mirrored(picture, changes, random), (width, height), (left, top))
        canvas.paste(part.image.crop(region), region[:2])
        boxes.append(part.boxes)  # a corner of the part is at the point, so that nothing is in another region
    return Picture(canvas, np.concatenate(boxes))


def _recoloured(image: Image, random: np.random.RandomState) -> Image:
    """Shift the hue, and multiply or divide saturation and value."""
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
    from PIL import Image

    shift = random.uniform(-HUE, HUE)
    factors = [factor ** random.choice([-1, 1]) for factor in (random.uniform(1, SATURATION), random.uniform(1, VALUE))]
    hsv = rgb_to_hsv(np.asarray(image) / 255)
    hsv[..., 0] = (hsv[..., 0] + shift) % 1
    hsv[..., 1:] = np.clip(hsv[..., 1:] * factors, 0, 1)
    return Image.fromarray(np.rint(255 * hsv_to_rgb(hsv)).astype(np.uint8))
