"""Events of a sensor, summed into frames.

Events are structured arrays with fields x, y (pixels), t (microseconds) and p (polarity, 0 or 1), as in tonic.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from throughtime.errors import UsageError

By = Literal["time", "count"]
Remainder = Literal["drop", "last_frame"]


class Sensor(NamedTuple):
    """The size of an event camera, in pixels."""

    width: int
    height: int


def to_frames(
    events: np.ndarray, sensor: Sensor, steps: int, by: By, pool: int = 1, remainder: Remainder = "drop"
) -> np.ndarray:
    """Count events in T frames of one recording, separately for each polarity.

    Args:
        events: in the order of time; see `checked`.
        sensor: width and height; `pool` divides both.
        steps: T.
        by: `time`: each frame lasts a T-th of the time from the first event to the last; `count`: each frame holds a
            T-th of the events, rounded down.
        pool: side of the blocks of pixels over which events are counted.
        remainder: the events after these frames (of less than T microseconds, or less than T events): `drop`, as tonic
            does, or count them in the `last_frame`, as SpikingJelly does.

    Returns:
        [steps, 2, height / pool, width / pool] int32, in the slices of tonic's `ToFrame`, whose int16 overflows where
        few frames of large blocks hold many events.
    """
    from tonic.slicers import slice_events_by_event_bins, slice_events_by_time_bins

    coarse = events.copy()
    coarse["x"] //= pool
    coarse["y"] //= pool
    slices = (slice_events_by_time_bins if by == "time" else slice_events_by_event_bins)(coarse, steps)
    counted = list(enumerate(slices))
    if remainder == "last_frame":
        counted.append((steps - 1, coarse[_framed(coarse["t"], steps, by) :]))
    frames = np.zeros((steps, 2, sensor.height // pool, sensor.width // pool), np.int32)
    for i, some in counted:
        np.add.at(frames[i], (some["p"], some["y"], some["x"]), 1)
    return frames


def _framed(t: np.ndarray, steps: int, by: By) -> int:
    """Return the number of events that lie in T frames of equal duration or count."""
    if by == "count":
        return len(t) // steps * steps
    return int(np.searchsorted(t, t[0] + (t[-1] - t[0]) // steps * steps))


def checked(events: np.ndarray, sensor: Sensor, steps: int, where: str) -> np.ndarray:
    """Return the events unchanged.

    Raises:
        UsageError: there are too few events for T frames, or they span too short a time; an event lies outside the
            sensor, or is earlier than the one before it.
    """
    if len(events) < steps:
        raise UsageError(f"{len(events)} events are too few for {steps} frames", where=where)
    for field, bound in (("x", sensor.width), ("y", sensor.height), ("p", 2)):
        values = events[field].astype(np.int64)
        wrong = np.flatnonzero((values < 0) | (values >= bound))
        if len(wrong):
            what = f"event {wrong[0]} has {field} = {values[wrong[0]]}, outside 0 ... {bound - 1}"
            raise UsageError(what, where=where)
    t = events["t"].astype(np.int64)
    back = np.flatnonzero(np.diff(t) < 0)
    if len(back):
        what = f"events out of order: event {back[0] + 1} is earlier than the one before it"
        raise UsageError(what, where=where)
    if t[-1] - t[0] < steps:
        raise UsageError(f"all events lie within {t[-1] - t[0]} µs, too short for {steps} frames", where=where)
    return events
