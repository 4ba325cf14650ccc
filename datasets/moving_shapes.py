"""Generated recordings of an event camera: bars and rings in motion."""

from __future__ import annotations

import functools
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from throughtime.datasets import nmnist
from throughtime.datasets.base import Split
from throughtime.datasets.event_recordings import EVENT, EventRecordings, Recording
from throughtime.datasets.files import cache, fetch
from throughtime.datasets.frames import By, Remainder, Sensor
from throughtime.datasets.prepared import held_out
from throughtime.registry import dataset
from throughtime.source_digest import source_digest

FILE = fetch.DataFile("moving_shapes", "moving_shapes", "moving_shapes.zip", None, None, "*/*.bin")
PARTS = {"train": 1000, "test": 288}
MOTIONS = 11
DURATION = 1_500_000
"""Length of a recording in µs."""
EVENTS = 6000
"""Events of the edges of shapes in a recording."""
DRAWN = 4 * EVENTS
"""Points of edges that are drawn, of which the slow ones make fewer events."""


@dataset("moving_shapes")
class MovingShapes(EventRecordings):
    """Eleven motions of bars and rings, generated: 1000 + 288 recordings of an event camera of 128x128 pixels.

    `EventRecordings` describes x_t and the other options. The target is the motion, 11 classes: a bar passes to the
    right, down, to the left, up; turns clockwise, anticlockwise; a ring grows, shrinks; a bar swings from side to side,
    up and down; two bars clap. The two edges of a shape make events of opposite polarity, in proportion to their speed.
    Shapes are brighter or darker than the ground at random, so that the polarity of an edge does not tell its
    direction; place, size, tilt, period (0.5 to 0.9 s) and phase are random. Further events are noise, at any pixel and
    time. A recording lasts 1.5 s and has 6000 events of edges, whatever the motion.

    The recordings are written once to the cache, in the file format of N-MNIST. The validation split is a stratified
    120 of the 1000 training recordings, by a fixed seed.

    Args:
        noise: events of noise over events of edges. At 20 frames LTC under BPTT had 97 % of the test recordings right
            without noise, 88 % with 0.2 and 75 % with 1 (pool 8, 30, 40 and 20 epochs, n = 1).
    """

    licence = "none needed: generated"
    origin = "generated"
    readers = (*EventRecordings.readers, nmnist.__name__)
    sensor = Sensor(128, 128)
    pattern = "*/*.bin"
    outputs = MOTIONS

    def __init__(
        self,
        *,
        steps: PositiveInt = 20,
        by: By = "count",
        pool: Literal[1, 2, 4, 8, 16] = 4,
        values: Literal["counts", "spikes"] = "counts",
        remainder: Remainder = "drop",
        noise: Annotated[float, Field(ge=0, le=10)] = 0.2,
    ) -> None:
        super().__init__(steps=steps, by=by, pool=pool, values=values, remainder=remainder)
        self.noise = noise

    @classmethod
    def tiny(cls) -> MovingShapes:
        """Return 44 + 22 recordings in 5 frames of 8x8."""
        write = functools.partial(write_recordings, noise=0.5, parts={"train": 44, "test": 22})
        return cls(steps=5, pool=16).with_synthetic_files(write)

    def raw(self) -> tuple[Sequence[Path], str]:
        key = {"code": source_digest(__name__, [nmnist.__name__]), "noise": self.noise}

        def write(folder: Path) -> None:
            write_recordings(folder, self.noise)

        folder = cache.prepared(fetch.cache(), f"{FILE.folder}-recordings", key, write)
        return [folder / FILE.name], FILE.folder

    def digest(self, paths: Sequence[Path]) -> str:
        return (fetch.content_digest if self.write_files is None else fetch.content_sha256)(FILE, *paths)

    def label(self, recording: Recording) -> int:
        return int(Path(recording.name).stem) % MOTIONS

    def events(self, content: bytes, where: str) -> np.ndarray:
        return nmnist.events_of(content, where)

    def splits(self, recordings: Sequence[Recording], labels: np.ndarray) -> Mapping[Split, np.ndarray]:
        part = np.array([recording.name.split("/")[0] for recording in recordings])
        own, test = np.flatnonzero(part == "train"), np.flatnonzero(part == "test")
        train, validation = held_out(labels[own], share=0.12, seed=34)
        return {"train": own[train], "validation": own[validation], "test": test}


def write_recordings(folder: Path, noise: float, parts: Mapping[str, int] = PARTS) -> list[Path]:
    """Write the recordings into `moving_shapes.zip`; recording i of a part shows motion i mod 11."""
    path = folder / FILE.name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for number, (part, count) in enumerate(parts.items()):
            for i in range(count):
                made = recording(np.random.RandomState([MOTIONS, number, i]), i % MOTIONS, noise)
                out.writestr(f"{part}/{i:04}.bin", nmnist.nmnist_bytes(made))
    return [path]


def recording(random: np.random.RandomState, motion: int, noise: float) -> np.ndarray:
    """Return the events of one recording, of type EVENT, in the order of time."""
    t = random.uniform(0, DURATION, DRAWN)
    turns = t / random.uniform(500_000, 900_000) + random.uniform()
    s, edge, side = random.uniform(-1, 1, DRAWN), *random.choice([-1, 1], (2, DRAWN))
    along, across, angle, velocity = point(motion, turns, s, side)
    along = along * random.uniform(32, 48) + edge * random.uniform(2, 5)
    across = across * random.uniform(16, 32)
    angle = angle + random.normal(0, 0.15)
    (x, y), contrast = random.uniform(52, 76, 2), random.choice([-1, 1])
    x = np.floor(x + along * np.cos(angle) - across * np.sin(angle))
    y = np.floor(y + along * np.sin(angle) + across * np.cos(angle))
    seen = (random.uniform(size=DRAWN) < np.abs(velocity)) & (x >= 0) & (x < 128) & (y >= 0) & (y < 128)
    edges = np.stack([x, y, t, edge * velocity * contrast > 0])[:, seen][:, :EVENTS]
    n = round(noise * EVENTS)
    others = [*random.randint(0, 128, (2, n)), random.uniform(0, DURATION, n), random.randint(0, 2, n)]
    columns = np.concatenate([edges, others], axis=1)
    events = np.empty(columns.shape[1], EVENT)
    for field, column in zip("xytp", columns[:, np.argsort(columns[2], kind="stable")], strict=True):
        events[field] = column
    return events


def point(
    motion: int, turns: np.ndarray, s: np.ndarray, side: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray | float, np.ndarray]:
    """Return points of a shape in motion, in a frame of reference of their own.

    Args:
        motion: 0 to 10.
        turns: the time in periods of the motion, [events].
        s: from −1 to 1, the place along the shape, [events].
        side: −1 or 1, which of the two bars that clap, [events].

    Returns:
        along: −1 to 1, the coordinate across which the edges lie, and `across`, that along a bar; the angle by which
        both are rotated, clockwise as y points down; the speed of the shape in the direction of `along`, from −1 to 1.
    """
    saw, wave, still = 2 * (turns % 1) - 1, np.sin(2 * math.pi * turns), np.zeros_like(s)
    swing = np.cos(2 * math.pi * turns)
    if motion < 4:
        return saw, s, motion * math.pi / 2, still + 1
    if motion < 6:
        sense = 1 if motion == 4 else -1
        return still, s, sense * 2 * math.pi * turns, -sense * s
    if motion < 8:
        sense = 1 if motion == 6 else -1
        return (1 + sense * saw) / 2, still, math.pi * s, still + sense
    if motion < 10:
        return wave / 2, s, (motion - 8) * math.pi / 2, swing
    return side * (1 + wave) / 2, s, 0.0, side * swing
