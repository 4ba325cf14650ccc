"""Object detection: its datasets, boxes, the loss and the decoding of grids, average precision, augmentation."""

from throughtime.datasets.detection.rectangles import Rectangles
from throughtime.datasets.detection.voc import VOC

__all__ = ["VOC", "Rectangles"]
