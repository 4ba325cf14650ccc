"""Average precision as PASCAL VOC defines it.

torchmetrics' mean average precision is COCO's definition and cannot be set to this one: it samples the curve of
precision at given recalls where the devkit since 2010 integrates it; it matches a detection with the best box that is
still free where VOC takes the best box of all, so that a duplicate may match a neighbouring box; and its `iscrowd`
divides the intersection by the area of the detection, which is not VOC's IoU with a difficult box.

Boxes are continuous: width is right − left, where the devkit adds 1 to widths of whole pixels.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from torch import Tensor

MATCHES_FROM = 0.5
"""Smallest IoU of a detection with its box: mAP@0.5."""
TRUE, FALSE, NOT_COUNTED = 1, 0, -1


def verdicts(detected: Tensor, boxes: Tensor, difficult: np.ndarray) -> np.ndarray:
    """Return TRUE, FALSE or NOT_COUNTED for each detection of one class in one image, [k].

    A detection belongs to the box with which its IoU is highest, if it is at least MATCHES_FROM. The first detection of
    a box is true and the others are false; detections of a difficult box do not count.

    Args:
        detected: corners in the order of falling scores, [k, 4].
        boxes: corners of the boxes of that class in that image, [m, 4].
        difficult: mask of the boxes that do not count, [m].
    """
    from torchvision.ops import box_iou

    matches = np.full(len(detected), FALSE)
    if not len(boxes) or not len(detected):
        return matches
    iou = box_iou(detected, boxes).numpy()
    best, hit = iou.argmax(1), iou.max(1) >= MATCHES_FROM
    _, firsts = np.unique(np.where(hit, best, -1), return_index=True)
    first = np.isin(np.arange(len(matches)), firsts)
    matches[hit & first] = TRUE
    matches[hit & difficult[best]] = NOT_COUNTED
    return matches


def average_precision(
    scores: np.ndarray, matches: np.ndarray, boxes: int, rule: Literal["all points", "11 points"]
) -> float:
    """Return the average precision of one class over all images; NaN if there is no box.

    With the detections in the order of falling scores, precision p_i = true / (true + false) and recall r_i = true /
    boxes of the first i, and p(r) = max {p_i : r_i ≥ r}:

        all points    Σ_i (r_i − r_{i−1}) p(r_i)            the area under p; VOC 2010 to 2012
        11 points     1/11 Σ p(r), r = 0, 0.1 ... 1         VOC 2007

    Args:
        scores: [k].
        matches: verdicts, [k].
        boxes: number of boxes that count.
        rule: see above.
    """
    if not boxes:
        return math.nan
    counted = matches != NOT_COUNTED
    order = np.argsort(-scores[counted], kind="stable")
    true = np.cumsum(matches[counted][order] == TRUE)
    precision, recall = true / np.arange(1, len(true) + 1), true / boxes
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    if rule == "all points":
        return float((np.diff(recall, prepend=0.0) * envelope[:-1]).sum())
    # Recalls are whole numbers over `boxes`, so that rounding must not decide whether 3/10 reaches 0.3.
    needed = [math.ceil(boxes * tenth / 10) for tenth in range(11)]
    return float(envelope[np.searchsorted(true, needed)].mean())
