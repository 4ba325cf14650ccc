"""Generated recordings: each motion, seen in its events without noise; their number, polarity and splits."""

from __future__ import annotations

import numpy as np
import pytest

from throughtime.datasets.event_recordings import EVENT
from throughtime.datasets.moving_shapes import DURATION, EVENTS, MOTIONS, MovingShapes, recording

WINDOWS = 60
"""Windows of a recording, of 25 ms: a shape moves by a tenth of its path or less."""


def made(motion: int, number: int = 0, noise: float = 0.0) -> np.ndarray:
    return recording(np.random.RandomState([9, motion, number]), motion, noise)


def windows(events: np.ndarray) -> list[np.ndarray]:
    return [events[events["t"] * WINDOWS // DURATION == w] for w in range(WINDOWS)]


def share_of_rises(values) -> float:
    """Return the share of windows in which a number rises over the window before."""
    return float(np.mean(np.diff(values) > 0))


@pytest.mark.parametrize("number", range(3))
def test_bars_pass_in_four_directions(number):
    """The middle of a bar moves on in all windows but those in which it starts anew."""
    for motion, (field, way) in enumerate((("x", 1), ("y", 1), ("x", -1), ("y", -1))):
        middles = [way * window[field].mean() for window in windows(made(motion, number))]
        assert share_of_rises(middles) > 0.85


@pytest.mark.parametrize("number", range(3))
def test_bars_turn_both_ways(number):
    """The axis of the events of a window turns on in either sense; y points down, so clockwise is to larger angles."""
    for motion, sense in ((4, 1), (5, -1)):
        axes = []
        for window in windows(made(motion, number)):
            x, y = (window[field] - window[field].mean() for field in "xy")
            axes.append(0.5 * np.arctan2(2 * (x * y).mean(), (x * x).mean() - (y * y).mean()))
        assert share_of_rises(sense * np.unwrap(axes, period=np.pi)) > 0.9


@pytest.mark.parametrize("number", range(3))
def test_rings_grow_and_shrink(number):
    for motion, sense in ((6, 1), (7, -1)):
        events = made(motion, number)
        spread = [window["x"].std() + window["y"].std() for window in windows(events)]
        assert share_of_rises(sense * np.array(spread)) > 0.8


@pytest.mark.parametrize("number", range(3))
def test_bars_swing_and_clap(number):
    """A swinging bar moves along one axis there and back; two bars that clap come near and part about one place."""
    for motion, field, other in ((8, "x", "y"), (9, "y", "x")):
        place, across = ([window[name].mean() for window in windows(made(motion, number))] for name in (field, other))
        assert np.std(place) > 3 * np.std(across) and 0.4 < share_of_rises(place) < 0.6
    wide = [window["x"].std() for window in windows(made(10, number))]
    middle = [window["x"].mean() for window in windows(made(10, number))]
    assert np.std(wide) > 2 * np.std(middle) and 0.4 < share_of_rises(wide) < 0.6


@pytest.mark.parametrize("motion", range(MOTIONS))
def test_neither_the_number_of_events_nor_their_polarity_tells_the_motion(motion):
    """The leading edge of a bar that passes is brighter in some recordings and darker in others."""
    events = made(motion, noise=0.5)
    assert events.dtype == EVENT and len(events) == 1.5 * EVENTS and abs(events["p"].mean() - 0.5) < 0.03
    assert (np.diff(events["t"]) >= 0).all() and events["t"][-1] < DURATION
    if motion == 0:
        signs = set()
        for number in range(6):
            window = windows(made(0, number))[30]
            signs.add(np.sign(window["x"][window["p"] == 1].mean() - window["x"][window["p"] == 0].mean()))
        assert signs == {-1, 1}


def test_splits_of_the_whole_set(tmp_path, monkeypatch):
    """The recordings are written once, as files that the reader of N-MNIST reads; each split has all motions."""
    monkeypatch.setenv("THROUGHTIME_CACHE", str(tmp_path))
    for name, number in (("EVENTS", 60), ("DRAWN", 240)):
        monkeypatch.setattr(f"throughtime.datasets.moving_shapes.{name}", number)
    data = MovingShapes(steps=4, pool=16)
    assert [data.size(split) for split in ("train", "validation", "test")] == [880, 120, 288]
    for split in ("train", "validation", "test"):
        (batch,) = data.batches(split, 1000)
        assert set(batch.target.tolist()) == set(range(MOTIONS)) and batch.x.shape[2] == 2 * 8 * 8
        assert batch.x.sum() * 16**2 == pytest.approx(len(batch.target) * 72)  # of edges and, for 0.2, of noise
    written = list(tmp_path.glob("prepared/moving_shapes-recordings-*/moving_shapes.zip"))
    again = MovingShapes(steps=2, pool=16)
    assert again.sha256() == data.sha256() and len(written) == 1
