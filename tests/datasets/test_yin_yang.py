"""The Yin-Yang data set: the published points, classes worked by hand, and spikes at the times of the coordinates."""

import hashlib

import pytest

from throughtime.datasets.yin_yang import SPLITS, YinYang, class_of, points


@pytest.mark.parametrize(
    "x, y, label",
    [
        (0.75, 0.5, 2),  # the centre of the right dot
        (0.25, 0.59, 2),  # 0.09 above that of the left one
        (0.25, 0.61, 1),  # outside the left dot, in the left half circle
        (0.25, 0.39, 1),
        (0.75, 0.61, 0),  # outside the right dot, in the right half circle
        (0.5, 0.9, 1),  # the upper half
        (0.5, 0.1, 0),  # the lower half
    ],
)
def test_classes_by_hand(x, y, label):
    assert class_of(x, y) == label


@pytest.mark.parametrize(
    "split, digest, counts",
    [
        ("train", "f5a4054d56f2", [1681, 1702, 1617]),
        ("validation", "5eac358bdf21", [316, 336, 348]),
        ("test", "7bab3ed668ed", [350, 316, 334]),
    ],
)
def test_points_are_the_published_ones(split, digest, counts):
    """SHA-256 of publication_data/*_samples.npy of lkriener/yin_yang_data_set, revision e6eef96."""
    v, classes = points(*SPLITS[split])
    assert hashlib.sha256(v.tobytes()).hexdigest().startswith(digest)
    assert [int((classes == label).sum()) for label in range(3)] == counts


def test_another_seed_gives_other_points():
    assert (points(20, 42)[0] == points(*SPLITS["train"])[0][:20]).all()
    assert not (points(20, 43)[0] == points(20, 42)[0]).any()


def test_each_input_has_a_spike_at_the_time_of_its_coordinate():
    dataset = YinYang(steps=40)
    x, target, _ = next(dataset.batches("test", 7))
    v, classes = points(*SPLITS["test"])
    assert x.shape == (40, 7, 5) and target.tolist() == classes[:7].tolist()
    assert (x.sum(0) == 1).all() and (x[0, :, 4] == 1).all()
    assert x[..., :4].argmax(0).tolist() == (30 * v[:7]).astype(int).tolist()


def test_values_are_shown_at_every_step():
    x, _, _ = next(YinYang(steps=3, code="values").batches("validation", 2))
    assert x.shape == (3, 2, 4) and (x == x[0]).all()
    assert x[0, 0].tolist() == pytest.approx(points(*SPLITS["validation"])[0][0].tolist())


def test_a_window_needs_as_many_steps():
    with pytest.raises(ValueError, match="window: 30 needs more steps than 30"):
        YinYang(steps=30)
