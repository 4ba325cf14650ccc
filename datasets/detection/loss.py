"""The loss of SPYv4, that of YOLOv4-tiny: boxes by CIoU, confidence and classes by cross-entropy."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from throughtime.datasets.detection.boxes import CLASS, PLACE, SHAPE, corners, is_trained
from throughtime.datasets.detection.grids import GRIDS, Predictions, anchors, grids_of, predictions
from throughtime.numerics.trees import Tree

IGNORED_FROM = 0.5
"""A prediction without a box of its own is not a negative example if its IoU with some box exceeds this."""


class Assigned(NamedTuple):
    """Boxes and the predictions that are trained to find them."""

    image: Tensor
    """[k], position of the image."""
    prediction: Tensor
    """[k], position of the prediction in its grid."""
    box: Tensor
    """[k, 6], rows of the target."""


def detection_loss(outputs: Tree, target: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Return the loss of some images, divided by the number of positive predictions (or by 1 if there is none).

        l = Σ_positive [ (1 − CIoU) (2 − width · height) + Σ_k BCE(class k) ] + Σ_{positive, negative} BCE(confidence)

    A box belongs to the anchor with the highest IoU of the shapes, in each grid that has this anchor; positive is that
    anchor's prediction in the cell of the box's centre. The last of several boxes that have the same prediction gets
    it. Difficult boxes are left out. The weight of CIoU's aspect term is constant, as in the paper of its authors; the
    released code differentiates it.

    Args:
        outputs: by readout [n, 3 (5 + classes), rows, columns].
        target: [n, boxes, 6], as in `boxes`.
        classes: number of classes.
        smoothing: s; the targets of the classes are 1 − s + s / classes and s / classes in place of 1 and 0.

    Cost: memory O(n · predictions), and O(predictions · boxes) for one image at a time.

    Source: Yin, Corradi and Bohte 2023, released code; CIoU: Zheng et al., arXiv:1911.08287, equation 10.
    """
    total, positives = target.new_zeros(()), 0
    for name, grid in grids_of(outputs, classes).items():
        predicted, mine = predictions(grid, GRIDS[name]), assigned(target, GRIDS[name], grid.shape[2:])
        total = total + _grid_loss(predicted, target, mine, smoothing)
        positives += len(mine.image)
    return total / max(1, positives)


def assigned(target: Tensor, places: tuple[int, ...], size: torch.Size) -> Assigned:
    """Return the boxes that belong to the anchors of a grid, with their predictions.

    Args:
        target: [n, boxes, 6].
        places: positions of the grid's anchors, from GRIDS.
        size: rows and columns of the grid.
    """
    rows, columns = size
    image, position = is_trained(target).nonzero(as_tuple=True)
    box = target[image, position]
    best = _shape_iou(box[:, SHAPE], anchors(target)).argmax(1)
    own = best[:, None] == torch.tensor(places, device=target.device)
    inside = own.any(1)
    image, box, anchor = image[inside], box[inside], own[inside].int().argmax(1)
    column, row = ((box[:, 1 + i] * n).long().clamp(0, n - 1) for i, n in enumerate((columns, rows)))
    prediction = (anchor * rows + row) * columns + column
    slot, group = torch.unique(torch.stack((image, prediction)), dim=1, return_inverse=True)
    order = torch.arange(len(image), device=target.device)
    last = order.new_zeros(slot.shape[1]).scatter_reduce(0, group, order, "amax")
    return Assigned(image[last], prediction[last], box[last])


def _shape_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of shapes [a, 2] and [b, 2] with a common centre, [a, b]."""
    both = torch.minimum(first[:, None], second).prod(-1)
    return both / (first.prod(-1)[:, None] + second.prod(-1) - both)


def _grid_loss(predicted: Predictions, target: Tensor, mine: Assigned, smoothing: float) -> Tensor:
    """Return the sum of the terms of one grid."""
    from torchvision.ops import complete_box_iou_loss

    cells = mine.image, mine.prediction
    ciou_loss = complete_box_iou_loss(corners(predicted.place[cells]), corners(mine.box[:, PLACE]))
    weight = 2 - mine.box[:, SHAPE].prod(1)
    positive = torch.zeros_like(predicted.confidence)
    positive[cells] = 1
    confidence = F.binary_cross_entropy_with_logits(predicted.confidence, positive, reduction="none")
    counted = (positive == 1) | ~_ignored(predicted.place.detach(), target)
    logits = predicted.classes[cells]
    wanted = F.one_hot(mine.box[:, CLASS].long(), logits.shape[1]) * (1 - smoothing) + smoothing / logits.shape[1]
    kinds = F.binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype), reduction="sum")
    return (ciou_loss * weight).sum() + confidence[counted].sum() + kinds


def _ignored(place: Tensor, target: Tensor) -> Tensor:
    """Return the mask [n, predictions] of the predictions whose IoU with a box of their image exceeds IGNORED_FROM."""
    from torchvision.ops import box_iou

    ignored = torch.zeros(place.shape[:2], dtype=torch.bool, device=place.device)
    for mask, predicted, boxes in zip(ignored, place, target, strict=True):
        true = boxes[is_trained(boxes)]
        if len(true):
            mask |= (box_iou(corners(predicted), corners(true[:, PLACE])) > IGNORED_FROM).any(1)
    return ignored
