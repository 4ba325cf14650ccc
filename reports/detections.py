"""The figure of a trained detector: images of the test split with their boxes and the detections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from throughtime.datasets.batch import Batch
from throughtime.datasets.detection.boxes import CLASS, DIFFICULT, PLACE, corners, is_box
from throughtime.datasets.detection.grids import Detections, detections
from throughtime.datasets.detection.task import Detection
from throughtime.harness.seeds import stream
from throughtime.harness.weights import Which, load_network
from throughtime.networks.base import Network
from throughtime.records.results import Results
from throughtime.reports.cells import neuron_label, rule_title
from throughtime.reports.drawing import Drawn, finish, grid, styled
from throughtime.reports.trained_network import dataset_of, sequences_from

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = 6
"""Number of images that are drawn."""
CONFIDENCE, OVERLAP = 0.5, 0.3
"""Smallest score and largest overlap of drawn detections, as in the code that was released with SPYv4."""
COLUMNS = ["image", "what", "class", "score", "left", "top", "right", "bottom"]


def detects(results: Results, run: str) -> bool:
    """Return whether the task of a run is detection."""
    return isinstance(dataset_of(results, run).task, Detection)


@styled
def draw_detections(results: Results, run: str, sequence: int = 0, weights: Which = "final") -> Drawn:
    """Draw images of the test split, with dashed boxes for the truth and solid ones for the detections.

    Args:
        results: results with the run, whose suite sets `keep_weights: true`.
        run: the run's id, or its label.
        sequence: number of the first image in the test split.
        weights: `final` or `best_validation`.

    Raises:
        UsageError: there is no such run or image, or its weights were not saved.
    """
    spec = results.record(run).spec
    network, dataset = load_network(results, run, weights), dataset_of(results, run)
    task = dataset.task
    assert isinstance(task, Detection) and dataset.layout is not None  # `detects` says so
    images = sequences_from(dataset, sequence, IMAGES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(spec.seed, "evaluation", spec.replicate))
        detections = [_detected(network, image, len(task.classes)) for image in images]
    figure, panels = grid(len(images), columns=3)
    rows: list[tuple[Any, ...]] = []
    for number, (ax, image, detected) in enumerate(zip(panels, images, detections, strict=True), sequence):
        boxes = image.target[0][is_box(image.target[0])]
        ax.imshow(image.x[-1, 0].reshape(dataset.layout).permute(1, 2, 0).numpy(), interpolation="none")
        ax.set(
            xticks=[], yticks=[], title=f"test image {number}: {len(boxes)} boxes, {len(detected.scores)} detections"
        )
        _draw_boxes(ax, boxes, detected, task.classes, dataset.layout[-1])
        rows += _rows(number, boxes, detected, task.classes)
    neuron = neuron_label(spec.neuron.label, spec.network.label)
    title = f"{rule_title(spec.rule.label)}, {neuron}, {spec.dataset.label}: detections"
    which = "last epoch" if weights == "final" else "epoch best on validation"
    notes = [
        f"Suite {spec.suite}, scale {spec.scale}, replicate {spec.replicate}, weights of the {which}.",
        f"Dashed: boxes of the dataset (white: difficult ones). Solid: detections with a score from {CONFIDENCE} on, "
        f"after suppression of overlaps above {OVERLAP}; mAP counts detections from 0.001 on.",
    ]
    finish(figure, title, notes, {})
    return Drawn(figure, pd.DataFrame(rows, columns=COLUMNS), title, notes)


@torch.no_grad()
def _detected(network: Network, image: Batch, classes: int) -> Detections:
    network.eval()
    outputs = network.unroll(image.x, network.initial_state(1)).last()
    return detections(outputs, classes, CONFIDENCE, OVERLAP)[0]


def _draw_boxes(ax: Axes, boxes: Tensor, detected: Detections, classes: tuple[str, ...], side: int) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    def colour(kind: int) -> Any:  # ten strong colours, then their pale ones
        return colormaps["tab20"](2 * kind % 20 + kind // 10 % 2)

    def draw(edges: list[float], colour: Any, dash: str) -> None:
        left, top, right, bottom = (side * edge - 0.5 for edge in edges)  # the first pixel is drawn around 0
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linestyle=dash))

    for box, edges in zip(boxes, corners(boxes[:, PLACE]).tolist(), strict=True):
        draw(edges, "white" if box[DIFFICULT] else colour(int(box[CLASS])), "--")
    for edges, score, kind in zip(*(part.tolist() for part in detected), strict=True):
        draw(edges, colour(kind), "-")
        ax.text(side * edges[0], side * edges[1], f"{classes[kind]} {score:.2f}", fontsize=6, color=colour(kind))


def _rows(image: int, boxes: Tensor, detected: Detections, classes: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return the drawn numbers: corners as fractions of the image; a box of the dataset has no score."""
    true = zip(boxes[:, CLASS].int().tolist(), corners(boxes[:, PLACE]).tolist(), strict=True)
    detections = zip(*(part.tolist() for part in detected), strict=True)
    return [(image, "box", classes[kind], None, *edges) for kind, edges in true] + [
        (image, "detection", classes[kind], score, *edges) for edges, score, kind in detections
    ]
