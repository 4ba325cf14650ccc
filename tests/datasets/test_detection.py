"""The detection task: loss, decoding and average precision, against values worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from throughtime.datasets.detection.average_precision import FALSE, NOT_COUNTED, TRUE, average_precision, verdicts
from throughtime.datasets.detection.boxes import corners, padded
from throughtime.datasets.detection.grids import ANCHORS, GRIDS, SIDE, detections, predictions
from throughtime.datasets.detection.loss import assigned, detection_loss
from throughtime.datasets.detection.task import Detection
from throughtime.errors import UsageError
from throughtime.harness.by_name import build_network, neuron_type

NEVER = -20.0
"""Logit of a confidence that no decoding reports."""


def grids(n: int, classes: int, coarse: int = 1, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    channels = 3 * (5 + classes)
    sizes = {"coarse": coarse, "fine": 2 * coarse}
    return {name: torch.zeros(n, channels, size, size, dtype=dtype) for name, size in sizes.items()}


def target(*images: list[tuple[float, ...]], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Boxes (class, x, y, width, height, difficult) of each image."""
    rows = [np.array(image).reshape(-1, 6) for image in images]
    return torch.from_numpy(padded(rows, max(1, *map(len, rows)))).to(dtype)


def like_anchor(i: int, kind: int = 0, x: float = 0.5, y: float = 0.5) -> tuple[float, ...]:
    return (kind, x, y, ANCHORS[i][0] / SIDE, ANCHORS[i][1] / SIDE, 0)


# --- the loss


def test_a_box_that_is_the_anchor_costs_confidence_and_class_alone():
    # Anchor 4 at the centre of the one coarse cell; of the 3 + 12 predictions none but its own overlaps by half.
    box = like_anchor(4, kind=1)
    loss = detection_loss(grids(1, 3), target([box]), 3)
    assert float(loss) == pytest.approx((15 + 3) * math.log(2), rel=1e-6)


def test_ciou_by_hand():
    # Twice as wide as the box: IoU 1/2, the same centre, and the aspect term α v.
    outputs, box = grids(1, 2), like_anchor(4)
    outputs["coarse"][0, 7 + 2] = math.log(2)  # the width of the second anchor of the grid
    w, h = box[3:5]
    v = 4 / math.pi**2 * (math.atan(w / h) - math.atan(2 * w / h)) ** 2
    located = (1 - (0.5 - v / (0.5 + v) * v)) * (2 - w * h)
    loss = detection_loss(outputs, target([box]), 2)
    assert float(loss) == pytest.approx(located + (15 + 2) * math.log(2), rel=1e-5)


def test_ciou_of_apart_boxes_counts_the_distance_of_centres():
    # Both have anchor 4's shape, moved by a quarter of the cell in x: IoU (w − d) / (w + d).
    outputs, box = grids(1, 1), like_anchor(4, x=0.25)
    w, h = box[3:5]
    d = 0.25
    iou, distance = (w - d) / (w + d), d**2 / ((w + d) ** 2 + h**2)
    expected = (1 - iou + distance) * (2 - w * h) + (15 + 1) * math.log(2)
    assert float(detection_loss(outputs, target([box]), 1)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("iou, ignored", [(0.4, False), (0.6, True), (1.0, True)])
def test_a_prediction_that_overlaps_a_box_is_no_negative_from_an_iou_of_one_half(iou, ignored):
    """The third anchor takes a part of the box's width, and its height."""
    outputs, box = grids(1, 1), like_anchor(4)
    before = detection_loss(outputs, target([box]), 1)
    for channel, own, other, part in zip((2, 3), ANCHORS[4], ANCHORS[5], (iou, 1.0), strict=True):
        outputs["coarse"][0, 2 * 6 + channel] = math.log(own * part / other)
    saved = float(before - detection_loss(outputs, target([box]), 1))
    assert saved == pytest.approx(math.log(2) if ignored else 0.0, abs=1e-5)


def test_label_smoothing_by_hand():
    outputs, box = grids(1, 2), like_anchor(4)
    outputs["coarse"][0, 7 + 5] = 2.0  # the logit of the box's class
    hot, cold = 1 - 0.2 + 0.1, 0.1
    kinds = -hot * math.log(1 / (1 + math.exp(-2))) - (1 - hot) * math.log(1 / (1 + math.exp(2))) + math.log(2)
    assert cold == pytest.approx(1 - hot)
    loss = detection_loss(outputs, target([box]), 2, smoothing=0.2)
    assert float(loss) == pytest.approx(15 * math.log(2) + kinds, rel=1e-5)


def test_the_loss_is_divided_by_the_positives_of_all_images():
    boxes, none = [like_anchor(4)], []
    loss = detection_loss(grids(3, 1), target(boxes, boxes, none), 1)
    assert float(loss) == pytest.approx((3 * 15 + 2) * math.log(2) / 2, rel=1e-6)
    assert float(detection_loss(grids(1, 1), target(none), 1)) == pytest.approx(15 * math.log(2), rel=1e-6)


def test_difficult_boxes_are_not_trained():
    difficult = (*like_anchor(4)[:5], 1)
    assert torch.equal(detection_loss(grids(1, 1), target([difficult]), 1), detection_loss(grids(1, 1), target([]), 1))


@pytest.mark.parametrize("anchor, grids_with_it", [(0, []), (1, ["fine"]), (3, ["coarse", "fine"]), (5, ["coarse"])])
def test_a_box_belongs_to_its_anchor_in_each_grid_that_has_it(anchor, grids_with_it):
    box = target([like_anchor(anchor, x=0.9, y=0.3)])
    result = {name: assigned(box, anchors, torch.Size([4, 4])) for name, anchors in GRIDS.items()}
    assert [name for name in GRIDS if len(result[name].image)] == grids_with_it
    for name in grids_with_it:  # row 1 and column 3 of 4
        assert result[name].prediction.tolist() == [GRIDS[name].index(anchor) * 16 + 1 * 4 + 3]


def test_the_last_of_two_boxes_gets_the_prediction_of_both():
    first, second = like_anchor(5, kind=0, x=0.51), like_anchor(5, kind=1, x=0.52)
    result = assigned(target([first, second]), GRIDS["coarse"], torch.Size([2, 2]))
    assert result.box[:, 0].tolist() == [1]


def test_gradient_by_differences():
    """The aspect term's weight α is constant, so that its change is taken out of the differences."""
    torch.manual_seed(3)
    outputs = {name: torch.randn_like(grid) for name, grid in grids(2, 2, coarse=2, dtype=torch.float64).items()}
    boxes = target([like_anchor(4, 1, 0.3, 0.6), like_anchor(1, 0, 0.8, 0.2)], [like_anchor(3)], dtype=torch.float64)

    def aspect(outputs):
        """α and 2 − w h times v of each positive prediction, over the number of these."""
        terms = []
        for name, anchors in GRIDS.items():
            mine = assigned(boxes, anchors, outputs[name].shape[2:])
            result, true = predictions(outputs[name], anchors).place[mine.image, mine.prediction], mine.box[:, 1:5]
            v = 4 / math.pi**2 * ((true[:, 2] / true[:, 3]).atan() - (result[:, 2] / result[:, 3]).atan()) ** 2
            a, b = corners(result), corners(true)
            both = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(0).prod(1)
            iou = both / (result[:, 2:].prod(1) + true[:, 2:].prod(1) - both)
            terms.append((v / (1 - iou + v), v * (2 - true[:, 2:].prod(1))))
        α, v = (torch.cat(parts) for parts in zip(*terms, strict=True))
        return α, v / len(v)

    fixed, _ = aspect(outputs)

    def loss(outputs):
        α, v = aspect(outputs)
        return detection_loss(outputs, boxes, 2) - ((α - fixed) * v).sum()

    followed = {name: grid.clone().requires_grad_() for name, grid in outputs.items()}
    gradients = torch.autograd.grad(detection_loss(followed, boxes, 2), list(followed.values()))
    ε = 1e-6
    for (name, grid), gradient in zip(outputs.items(), gradients, strict=True):
        for place in torch.randperm(grid.numel())[:40].tolist():
            moved = []
            for step in (ε, -ε):
                other = grid.clone()
                other.view(-1)[place] += step
                moved.append(float(loss({**outputs, name: other})))
            assert (moved[0] - moved[1]) / (2 * ε) == pytest.approx(float(gradient.reshape(-1)[place]), abs=1e-6)


def test_outputs_of_another_network_are_refused():
    task = Detection(["a", "b"])
    with pytest.raises(UsageError, match="reads the readouts coarse and fine; the network has one readout"):
        task.loss(torch.zeros(2, 21), target([], []))
    with pytest.raises(UsageError, match=r"the readout coarse is \[18, 1, 1\]; detection of 2 classes reads \[21,"):
        task.loss(grids(2, 1), target([], []))


def test_spyv4_has_the_outputs_that_detection_reads():
    """And the loss reaches every weight that its outputs depend on."""
    task = Detection(["a", "b"])
    neuron = neuron_type("ltc", adaptation="off", b0=1.0, initial="random_membrane")
    network = build_network("spyv4", (3, 64, 64), task.outputs, neuron, width=1 / 16)
    torch.manual_seed(0)
    window = network.unroll(torch.rand(2, 2, 3 * 64 * 64), network.initial_state(2))
    loss = task.loss(window.last(), target([like_anchor(5), like_anchor(1)], [like_anchor(4)]))
    loss.backward()
    for readout in network.readouts:
        gradients = [p.grad for p in readout.parameters() if p.requires_grad]
        assert all(g is not None and g.isfinite().all() and g.abs().sum() > 0 for g in gradients)


# --- decoding


def seeing(*images: list[tuple[float, ...]], classes: int, size: int = 8) -> dict[str, torch.Tensor]:
    """Outputs whose detections are the given (class, x, y, width, height, logit of the score), in different cells."""
    outputs = grids(len(images), classes, size)
    for grid in outputs.values():
        grid.view(len(images), 3, -1, *grid.shape[2:])[:, :, 4] = NEVER
    view = outputs["coarse"].view(len(images), 3, -1, size, size)
    for image, result in enumerate(images):
        for kind, x, y, w, h, logit in result:
            column, row = int(x * size), int(y * size)
            t = view[image, 1, :, row, column]
            assert t[4] == NEVER, "two detections of one cell"
            t[0], t[1] = (math.log(part / (1 - part)) for part in (x * size - column, y * size - row))
            t[2], t[3] = math.log(w * SIDE / ANCHORS[4][0]), math.log(h * SIDE / ANCHORS[4][1])
            t[4], t[5:] = logit, NEVER
            t[5 + int(kind)] = -NEVER
    return outputs


def test_decoding_by_hand():
    outputs = seeing([(1, 0.3, 0.4, 0.2, 0.1, 2.0), (0, 0.95, 0.4, 0.2, 0.1, 3.0)], classes=2)
    (result,) = detections(outputs, 2)
    assert result.classes.tolist() == [0, 1]
    assert result.scores.tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-2))])
    assert result.corners[1].tolist() == pytest.approx([0.2, 0.35, 0.4, 0.45], abs=1e-6)
    assert result.corners[0].tolist() == pytest.approx([0.85, 0.35, 1.0, 0.45], abs=1e-6), "clipped to the image"


def test_suppression_is_within_a_class():
    near = [(0, 0.30, 0.4, 0.2, 0.1, 2.0), (0, 0.38, 0.41, 0.2, 0.1, 1.0), (1, 0.38, 0.55, 0.2, 0.4, 0.0)]
    (all_of_them,) = detections(seeing(near, classes=2), 2, overlap=0.5)
    (few,) = detections(seeing(near, classes=2), 2, overlap=0.3)
    assert all_of_them.classes.tolist() == [0, 0, 1] and few.classes.tolist() == [0, 1]
    (strong,) = detections(seeing(near, classes=2), 2, confidence=0.6)
    assert strong.scores.tolist() == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))])


def test_equal_boxes_of_two_classes_are_both_detected():
    (result,) = detections(seeing([(0, 0.37, 0.4, 0.2, 0.1, 2.0), (1, 0.38, 0.4, 0.2, 0.1, 1.0)], classes=2), 2)
    assert result.classes.tolist() == [0, 1]


@pytest.mark.parametrize("iou, boxes", [(0.45, 2), (0.55, 1)])
def test_of_two_detections_with_an_iou_above_one_half_one_stays(iou, boxes):
    """Two boxes of width 0.2, d apart: IoU = (0.2 − d) / (0.2 + d)."""
    d = 0.2 * (1 - iou) / (1 + iou)
    outputs = seeing([(0, 0.36, 0.4, 0.2, 0.1, 2.0), (0, 0.36 + d, 0.4, 0.2, 0.1, 1.0)], classes=1)
    (result,) = detections(outputs, 1)
    assert len(result.scores) == boxes


def test_the_meter_suppresses_from_an_iou_of_one_half():
    """A second detection of the first box, at an IoU of 0.55, does not precede the only one of the second box."""
    d = 0.2 * 0.45 / 1.55
    a, b = (0, 0.36, 0.3, 0.2, 0.1), (0, 0.7, 0.7, 0.2, 0.1)
    task = Detection(["cell"])
    meter = task.meter()
    outputs = seeing([(*a, 3.0), (0, 0.36 + d, 0.3, 0.2, 0.1, 2.0), (*b, 1.0)], classes=1)
    meter.update(outputs, target([(*a, 0), (*b, 0)]))
    assert meter.compute()["mAP"] == pytest.approx(1.0), "else 1/2 + 1/2 · 2/3"


# --- average precision


@pytest.mark.parametrize("width, verdict", [(1.88, FALSE), (2.0, TRUE)])
def test_a_detection_is_true_from_an_iou_of_one_half(width, verdict):
    """A detection that is a part of a box of width 4: IoU 0.47 and 0.5."""
    boxes, detected = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[0.0, 0.0, width, 4.0]])
    assert verdicts(detected, boxes, np.array([False])).tolist() == [verdict]


def test_average_precision_of_three_boxes_by_both_rules():
    # Precision 1, 1/2, 2/3, 1/2 at recall 1/3, 1/3, 2/3, 2/3.
    scores, result = np.array([0.6, 0.9, 0.8, 0.7]), np.array([FALSE, TRUE, FALSE, TRUE])
    assert average_precision(scores, result, 3, "all points") == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    assert average_precision(scores, result, 3, "11 points") == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_precision_at_a_recall_is_the_highest_from_there_on():
    # Precision 0, 1/2, 2/3 at recall 0, 1/2, 1.
    scores, result = np.array([0.9, 0.8, 0.7]), np.array([FALSE, TRUE, TRUE])
    for rule in ("all points", "11 points"):
        assert average_precision(scores, result, 2, rule) == pytest.approx(2 / 3)


def test_average_precision_at_its_bounds():
    perfect, none = np.array([TRUE] * 10), np.array([])
    for rule in ("all points", "11 points"):
        assert average_precision(np.arange(10.0), perfect, 10, rule) == pytest.approx(1)
        assert average_precision(none, none, 4, rule) == 0
        assert math.isnan(average_precision(none, none, 0, rule))


def test_detections_that_do_not_count_leave_no_trace():
    scores, result = np.array([0.9, 0.8, 0.7]), np.array([NOT_COUNTED, TRUE, FALSE])
    for rule in ("all points", "11 points"):
        assert average_precision(scores, result, 2, rule) == average_precision(scores[1:], result[1:], 2, rule)
    wrong = average_precision(scores, np.array([FALSE, TRUE, FALSE]), 2, "all points")
    assert wrong != average_precision(scores, result, 2, "all points"), "the broken twin, which counts them as false"


def test_verdicts_on_duplicates_and_on_difficult_boxes():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [10.0, 0.0, 14.0, 4.0]])
    detected = torch.tensor(
        [
            [1.0, 0.0, 5.0, 4.0],  # IoU 3/5 with the first box
            [-1.0, 0.0, 3.0, 4.0],  # the same, later
            [10.0, 0.0, 14.0, 3.0],  # 3/4 with the second, which is difficult
            [10.0, 0.0, 14.0, 4.0],  # again
            [3.0, 3.0, 6.0, 6.0],  # 1/24
        ]
    )
    result = verdicts(detected, boxes, np.array([False, True]))
    assert result.tolist() == [TRUE, FALSE, NOT_COUNTED, NOT_COUNTED, FALSE]


def test_a_detection_belongs_to_the_best_box_even_if_that_is_taken():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [1.0, 0.0, 5.0, 4.0]])
    detected = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.2, 0.0, 4.2, 4.0]])
    assert verdicts(detected, boxes, np.array([False, False])).tolist() == [TRUE, FALSE]


def test_meter_by_hand():
    """One class with the three boxes above over two images, one found twice, and one difficult; one without boxes."""
    task = Detection(["cell", "ghost"])
    a, b, c = (0, 0.31, 0.31, 0.2, 0.2), (0, 0.71, 0.71, 0.2, 0.2), (0, 0.31, 0.71, 0.1, 0.3)
    hidden = (0, 0.71, 0.31, 0.1, 0.1)
    truth = target([(*a, 0), (*hidden, 1)], [(*b, 0), (*c, 0)])
    twice = [(0, 0.26, 0.31, 0.2, 0.2), (0, 0.376, 0.31, 0.2, 0.2)]
    outputs = seeing(
        [(*twice[0], 3.0), (*twice[1], 2.0), (*hidden, 4.0)],
        [(*b, 1.0), (1, 0.1, 0.1, 0.1, 0.1, 5.0)],
        classes=2,
    )
    meter = task.meter()
    for image in range(2):  # one image at a time
        meter.update({name: grid[image : image + 1] for name, grid in outputs.items()}, truth[image : image + 1])
    result = meter.compute()
    assert list(result) == [metric.name for metric in task.metrics] == ["mAP", "mAP_11", "AP.cell", "AP.ghost"]
    assert result["mAP"] == result["AP.cell"] == pytest.approx(5 / 9)
    assert result["mAP_11"] == pytest.approx(6 / 11)
    assert math.isnan(result["AP.ghost"])
