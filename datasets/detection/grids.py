"""Grids of predictions: anchors, and the boxes that a network's outputs stand for.

A network has two readouts, `coarse` and `fine`. Each output is [n, 3 (5 + classes), rows, columns], and predicts three
boxes per cell, one per anchor. Of an anchor's channels t, in this order,

    x = (σ(t_x) + column) / columns     width  = exp(t_w) anchor width
    y = (σ(t_y) + row) / rows           height = exp(t_h) anchor height

are fractions of the image; σ(t_c) is the confidence that there is an object, and σ(t_k) that it is of class k. Source:
YOLOv4-tiny, as released with Yin, Corradi and Bohte 2023 (SPYv4).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.datasets.detection.boxes import corners
from throughtime.errors import UsageError
from throughtime.numerics.trees import Tree

ANCHORS = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
"""Width and height of the anchors, in pixels of an image of SIDE pixels; they scale with the image."""
SIDE = 416
GRIDS = {"coarse": (3, 4, 5), "fine": (1, 2, 3)}
"""Positions in ANCHORS of the anchors of each readout. No grid has the smallest anchor, as in the released code."""
PER_CELL = 3
"""Boxes that a cell predicts."""
GEOMETRY = 5
"""Channels of a box besides its classes: x, y, width, height, confidence."""


class Predictions(NamedTuple):
    """The boxes that a grid predicts, in the order anchor, row, column."""

    place: Tensor
    """Centre, width and height as fractions of the image, [n, predictions, 4]."""
    confidence: Tensor
    """Logit of the confidence, [n, predictions]."""
    classes: Tensor
    """Logits of the classes, [n, predictions, classes]."""


class Detections(NamedTuple):
    """The detected boxes of an image, in the order of falling scores."""

    corners: Tensor
    """Left, top, right and bottom as fractions of the image, inside it, [k, 4]."""
    scores: Tensor
    """[k], confidence times probability of the class."""
    classes: Tensor
    """[k], int64."""


def anchors(like: Tensor) -> Tensor:
    """Return width and height of all anchors as fractions of the image, [anchors, 2]."""
    return like.new_tensor(ANCHORS) / SIDE


def grids_of(outputs: Tree, classes: int) -> dict[str, Tensor]:
    """Return the outputs of the readouts of GRIDS.

    Raises:
        UsageError: the network has other readouts, or readouts of another shape.
    """
    channels = PER_CELL * (GEOMETRY + classes)
    if not isinstance(outputs, dict) or set(outputs) != set(GRIDS):
        actual = f"the readouts {', '.join(outputs)}" if isinstance(outputs, dict) else "one readout"
        raise UsageError(
            f"detection reads the readouts {' and '.join(GRIDS)}; the network has {actual}",
            hint="the network `spyv4` has these readouts",
        )
    for name, grid in outputs.items():
        if grid.dim() != 4 or grid.shape[1] != channels:
            raise UsageError(
                f"the readout {name} is {list(grid.shape[1:])}; detection of {classes} classes reads "
                f"[{channels}, rows, columns]"
            )
    return outputs


def predictions(grid: Tensor, positions: tuple[int, ...]) -> Predictions:
    """Decode the output of one readout.

    Args:
        grid: [n, 3 (5 + classes), rows, columns].
        positions: positions of its anchors, from GRIDS.
    """
    n, _, rows, columns = grid.shape
    t = grid.reshape(n, PER_CELL, -1, rows, columns).permute(0, 1, 3, 4, 2)
    cell = torch.meshgrid(
        torch.arange(columns, device=grid.device), torch.arange(rows, device=grid.device), indexing="xy"
    )
    size = grid.new_tensor([columns, rows])
    centre = (t[..., :2].sigmoid() + torch.stack(cell, -1)) / size
    shape = t[..., 2:4].exp() * anchors(grid)[list(positions), None, None]
    place = torch.cat((centre, shape), -1).flatten(1, 3)
    return Predictions(place, t[..., 4].flatten(1), t[..., GEOMETRY:].flatten(1, 3))


@torch.no_grad()
def detections(outputs: Tree, classes: int, confidence: float = 0.001, overlap: float = 0.5) -> list[Detections]:
    """Return the detections of each image, after non-maximum suppression within each class.

    Args:
        outputs: by readout [n, 3 (5 + classes), rows, columns].
        classes: number of classes.
        confidence: smallest score; the released code counts from 0.001 and draws from 0.5.
        overlap: largest IoU of two detections of a class; the released code counts with 0.5 and draws with 0.3.
    """
    from torchvision.ops import batched_nms

    parts = [predictions(grid, GRIDS[name]) for name, grid in grids_of(outputs, classes).items()]
    place, confident, logits = (torch.cat(column, 1) for column in zip(*parts, strict=True))
    probability, kind = logits.sigmoid().max(-1)
    scores, edges = confident.sigmoid() * probability, corners(place).clamp(0, 1)
    images = []
    for box, score, label in zip(edges, scores, kind, strict=True):
        strong = score >= confidence
        box, score, label = box[strong], score[strong], label[strong]
        chosen = batched_nms(box, score, label, overlap)
        images.append(Detections(box[chosen], score[chosen], label[chosen]))
    return images
