"""The task of finding and naming the objects of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from throughtime.datasets.detection.average_precision import average_precision, verdicts
from throughtime.datasets.detection.boxes import CLASS, DIFFICULT, PLACE, corners, is_box
from throughtime.datasets.detection.grids import GEOMETRY, PER_CELL, detections
from throughtime.datasets.detection.loss import detection_loss
from throughtime.datasets.task import Metric, Task
from throughtime.numerics.trees import Tree

CONFIDENCE, OVERLAP = 0.001, 0.5
"""Smallest score of a detection that counts, and largest IoU of two detections of a class, as in the released code."""


class Detection(Task):
    """Detection: the loss of `detection_loss`; mean average precision at an IoU of 0.5, and that of each class.

    Outputs are a dict with the readouts `coarse` and `fine`, as in `grids`; `target` is [n, boxes, 6], as in `boxes`.
    mAP is the mean over the classes of which there are boxes that count.

    Args:
        classes: names of the classes.
        smoothing: of the targets of the classes, see `detection_loss`.
    """

    def __init__(self, classes: Sequence[str], smoothing: float = 0.0) -> None:
        self.classes, self.smoothing = tuple(classes), smoothing
        self.metric = Metric("mAP", "fraction", True, 0.0)
        self.further = (
            Metric("mAP_11", "fraction", True),
            *(Metric(f"AP.{name}", "fraction", True) for name in self.classes),
        )

    @property
    def outputs(self) -> int:
        """Channels of each readout."""
        return PER_CELL * (GEOMETRY + len(self.classes))

    def loss(self, outputs: Tree, target: Tensor) -> Tensor:
        return detection_loss(outputs, target, len(self.classes), self.smoothing)

    def meter(self) -> PrecisionMeter:
        return PrecisionMeter(self.classes)


class PrecisionMeter:
    """Collects the verdicts on all detections; `compute` returns mAP by both rules, and AP by all points per class.

    Memory: O(detections), 5 bytes each.

    Args:
        classes: names of the classes.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self.boxes = np.zeros(len(classes), int)
        self.scores: list[list[np.ndarray]] = [[] for _ in classes]
        self.verdicts: list[list[np.ndarray]] = [[] for _ in classes]

    def update(self, outputs: Tree, target: Tensor) -> None:
        images = detections(outputs, len(self.classes), CONFIDENCE, OVERLAP)
        for predicted, rows in zip(images, target, strict=True):
            boxes, edges = rows[is_box(rows)].cpu(), predicted.corners.cpu()
            scores, kinds = predicted.scores.cpu().numpy(), predicted.classes.cpu()
            difficult = boxes[:, DIFFICULT].numpy() == 1
            for k in range(len(self.classes)):
                mine, true = kinds == k, boxes[:, CLASS] == k
                self.boxes[k] += int((~difficult[true.numpy()]).sum())
                self.scores[k].append(scores[mine.numpy()])
                place = corners(boxes[true][:, PLACE])
                self.verdicts[k].append(verdicts(edges[mine], place, difficult[true.numpy()]).astype(np.int8))

    def compute(self) -> dict[str, float]:
        by_class = self._average_precision("all points")
        return {
            "mAP": _mean(by_class),
            "mAP_11": _mean(self._average_precision("11 points")),
            **{f"AP.{name}": value for name, value in zip(self.classes, by_class, strict=True)},
        }

    def _average_precision(self, rule: Literal["all points", "11 points"]) -> list[float]:
        return [
            average_precision(np.concatenate([*scores, []]), np.concatenate([*matches, []]), int(boxes), rule)
            for scores, matches, boxes in zip(self.scores, self.verdicts, self.boxes, strict=True)
        ]


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if all are."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
