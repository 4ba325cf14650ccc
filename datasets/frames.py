"""Events of a sensor, summed into frames.

Events are structured arrays with fields x, y (pixels), t (microseconds) and p (polarity, 0 or 1), as tonic has them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from throughtime.errors import UsageError

By = Literal["time", "count"]


class Sensor(NamedTuple):
    """The size of an event camera, in pixels."""

    width: int
    height: int


def to_frames(events: np.ndarray, sensor: Sensor, steps: int, by: By, pool: int = 1) -> np.ndarray:
    """Count events in T frames of one recording, the polarities apart.

    Args:
        events: in order of time; see `checked`.
        sensor: width and height; `pool` divides both.
        steps: T.
        by: `time`: frames last equally long, a T-th of the time from the first event to the last; `count`: they hold
            equally many events, a T-th of all. What is left over at the end (less than T microseconds, or T events) is
            left out.
        pool: count over blocks of pool x pool pixels.

    Returns:
        [steps, 2, height / pool, width / pool] int16, as tonic's `ToFrame` counts.
    """
    from tonic.transforms import ToFrame

    coarse = events.copy()
    coarse["x"] //= pool
    coarse["y"] //= pool
    size = (sensor.width // pool, sensor.height // pool, 2)
    bins = {"n_time_bins": steps} if by == "time" else {"n_event_bins": steps}
    return ToFrame(sensor_size=size, **bins)(coarse)


def checked(events: np.ndarray, sensor: Sensor, steps: int, where: str) -> np.ndarray:
    """Return the events as they are.

    Raises:
        UsageError: there are too few for T frames, or in too short a time; one lies outside of the sensor or before the
            one that precedes it.
    """
    if len(events) < steps:
        raise UsageError(f"{len(events)} events do not make {steps} frames", where=where)
    for field, bound in (("x", sensor.width), ("y", sensor.height), ("p", 2)):
        values = events[field].astype(np.int64)
        wrong = np.flatnonzero((values < 0) | (values >= bound))
        if len(wrong):
            what = f"event {wrong[0]} has {field} = {values[wrong[0]]}, outside of 0 ... {bound - 1}"
            raise UsageError(what, where=where)
    t = events["t"].astype(np.int64)
    back = np.flatnonzero(np.diff(t) < 0)
    if len(back):
        what = f"events out of order: number {back[0] + 1} is earlier than the one before it"
        raise UsageError(what, where=where)
    if t[-1] - t[0] < steps:
        raise UsageError(f"all events within {t[-1] - t[0]} µs, too short for {steps} frames", where=where)
    return events
