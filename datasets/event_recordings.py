"""Base of datasets of event cameras: recordings in archives or folders, converted once to frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import PositiveInt

from throughtime.datasets import frames
from throughtime.datasets.base import Split
from throughtime.datasets.classes import checked_labels
from throughtime.datasets.files import archive, cache, fetch
from throughtime.datasets.prepared import PreparedDataset, save
from throughtime.datasets.task import Classification

EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])


def archive_file(
    dataset: str, folder: str, name: str, url: str, md5: str, inside: str, page: str, unpacked: str
) -> fetch.DataFile:
    """Return an archive of recordings with a known MD5 of the archive but no known digest of its content.

    Args:
        unpacked: name of the folder with the unpacked archive, which is accepted in its place.
        dataset, folder, name, inside, page: as in `DataFile`.
        url, md5: as in `Origin`.
    """
    origin = fetch.Origin([url], f"md5:{md5}")
    return fetch.DataFile(dataset, folder, name, None, lambda: origin, inside, (unpacked,), page)


class Recording(NamedTuple):
    """The position of a recording."""

    file: int
    """Number of the file that holds it."""
    name: str
    """The parts of its path that match the pattern."""


class EventRecordings(PreparedDataset):
    """Base of the datasets of event cameras.

    x_t holds, for each polarity and each block of pool x pool pixels, the number of events in frame t, averaged over
    the pixels of the block (`counts`), or whether there was an event (`spikes`). The order of the inputs is polarity,
    row, column. Counts are stored in 8 bits, or 16 or 32 where they do not fit, and spikes in one bit. The defaults are
    those for cameras of 128x128 pixels.

    Args:
        steps: T, frames per recording.
        by: `time` or `count`: frames of equal duration or with equally many events; see `frames.to_frames`.
        pool: side of the blocks, in pixels.
        values: `counts` or `spikes`.
        remainder: whether the events after the last of T equal frames are left out (`drop`) or counted in the
            `last_frame`. By count they are less than T: few at T = 20, but at T = 500 up to 471 beside the 126 events
            of a frame of DVS-Gesture, in the frame that is read out.
    """

    readers: ClassVar[tuple[str, ...]] = (archive.__name__, frames.__name__)
    libraries: ClassVar[tuple[str, ...]] = ("tonic",)
    sensor: ClassVar[frames.Sensor]
    pattern: str
    """Pattern of the members of an archive that are recordings."""

    def __init__(
        self,
        *,
        steps: PositiveInt = 20,
        by: frames.By = "count",
        pool: Literal[1, 2, 4, 8, 16] = 4,
        values: Literal["counts", "spikes"] = "counts",
        remainder: frames.Remainder = "drop",
    ) -> None:
        self.steps, self.by, self.pool, self.values, self.remainder = steps, by, pool, values, remainder
        self.bits = values == "spikes"
        height, width = self.sensor.height // pool, self.sensor.width // pool
        self.layout = (2, height, width)
        self.inputs = 2 * height * width
        self.unit = float(pool**2) if values == "counts" else 1.0
        self.task = Classification(self.outputs)

    @abstractmethod
    def label(self, recording: Recording) -> int:
        """Return the class of a recording; -1 if it has none."""

    @abstractmethod
    def events(self, content: bytes, where: str) -> np.ndarray:
        """Return the events in the file of a recording, of type EVENT; UsageError if the file is invalid."""

    @abstractmethod
    def splits(self, recordings: Sequence[Recording], labels: np.ndarray) -> Mapping[Split, np.ndarray]:
        """Return the positions of the recordings of each split."""

    def parameters(self) -> Mapping[str, Any]:
        names = ("steps", "by", "pool", "values", "remainder")
        return {name: getattr(self, name) for name in names}

    def recordings(self, paths: Sequence[Path]) -> list[Recording]:
        """Return the recordings in these files; each member of an archive that matches `pattern` is one."""
        return [Recording(i, name) for i, path in enumerate(paths) for name in archive.members(path, self.pattern)]

    def read(self, paths: Sequence[Path]) -> Iterator[tuple[Recording, np.ndarray, str]]:
        """Yield each recording with its events and its place for error messages, in the order of storage."""
        for i, path in enumerate(paths):
            for name, content in archive.read(path, self.pattern):
                where = f"{path}: {name}"
                yield Recording(i, name), self.events(content, where), where

    def build(self, paths: Sequence[Path], folder: Path) -> None:
        recordings = self.recordings(paths)
        labels = np.array([self.label(recording) for recording in recordings])
        checked_labels(labels, self.outputs, ", ".join(map(str, paths)))
        position = {recording: i for i, recording in enumerate(recordings)}

        def rows() -> Iterator[tuple[int, np.ndarray]]:
            for recording, events, where in self.read(paths):
                frames.checked(events, self.sensor, self.steps, where)
                counted = frames.to_frames(events, self.sensor, self.steps, self.by, self.pool, self.remainder)
                yield position[recording], counted.reshape(self.steps, -1)

        cache.write_rows(folder / "x.npy", len(recordings), rows(), bits=self.bits)
        save(folder, labels.astype(np.uint8), self.splits(recordings, labels))


def synthetic_events(random: np.random.RandomState, label: int, sensor: frames.Sensor, count: int = 200) -> np.ndarray:
    """Return events in the order of time, within 0.1 s, on a vertical line whose position encodes the label."""
    events = np.empty(count, EVENT)
    events["t"] = np.sort(random.randint(0, 100_000, count))
    events["x"] = (2 + 3 * label + random.randint(0, 2, count)) % sensor.width
    events["y"] = random.randint(0, sensor.height, count)
    events["p"] = random.randint(0, 2, count)
    return events
