"""The layout of target boxes.

The target of an image is a tensor [boxes, 6] with a row (class, x, y, width, height, difficult) for each box. x and y
are the centre; all four lengths are fractions of the image. `difficult` is 1 for boxes that count neither in training
nor in the metrics, else 0. Rows that pad an image to the number of boxes of the tensor have the class NO_BOX, and are 0
otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

CLASS, DIFFICULT, COLUMNS = 0, 5, 6
PLACE = slice(1, 5)
"""Columns of centre, width and height."""
SHAPE = slice(3, 5)
"""Columns of width and height."""
NO_BOX = -1


def padded(images: Sequence[np.ndarray], boxes: int) -> np.ndarray:
    """Stack the boxes [k, 6] of some images into an array [images, boxes, 6], float32."""
    out = np.zeros((len(images), boxes, COLUMNS), np.float32)
    out[..., CLASS] = NO_BOX
    for row, image in zip(out, images, strict=True):
        row[: len(image)] = image
    return out


def is_box(target: Tensor) -> Tensor:
    """Return the mask [..., boxes] of the rows that are boxes, difficult ones included."""
    return target[..., CLASS] != NO_BOX


def is_trained(target: Tensor) -> Tensor:
    """Return the mask [..., boxes] of the boxes that count: those that are not difficult."""
    return is_box(target) & (target[..., DIFFICULT] == 0)


def corners(place: Tensor) -> Tensor:
    """Convert [..., 4] from centre, width and height to left, top, right and bottom."""
    from torchvision.ops import box_convert

    return box_convert(place, "cxcywh", "xyxy")
